/**
 * A to-do list of three peers, each in a process of its own. One of them is killed; the others go on.
 */
import { fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { ChildProcess } from 'node:child_process'

const PEER = fileURLToPath(new URL('./peer.ts', import.meta.url))
const NAMES = ['ada', 'bob', 'eve']

/** What is open, as each peer sees it */
const lists = new Map<string, string>()

async function start (name: string, known: string[]): Promise<{ child: ChildProcess, address: string }> {
  const child = fork(PEER, [name, ...known], { execArgv: ['--conditions=sheaf-source'] })

  return new Promise((resolve, reject) => {
    child.once('exit', code => { reject(new Error(`${name} ended with ${code}`)) })
    child.on('message', ({ address, open }: { address?: string, open?: string[] }) => {
      if (address != null) {
        resolve({ child, address })
      } else {
        lists.set(name, (open ?? []).join(', '))
        console.info(`${name} sees: ${lists.get(name)}`)
        changed.forEach(look => { look() })
      }
    })
  })
}

const changed = new Set<() => void>()

/** Resolves when all of these see this list */
async function seen (names: string[], list: string): Promise<void> {
  await new Promise<void>(resolve => {
    const look = (): void => {
      if (names.every(name => lists.get(name) === list)) {
        changed.delete(look)
        resolve()
      }
    }
    changed.add(look)
    look()
  })
}

const ada = await start(NAMES[0], [])
const [bob, eve] = await Promise.all(NAMES.slice(1).map(async name => start(name, [ada.address])))

ada.child.send({ add: 'buy bread' })
bob.child.send({ add: 'call the bank' })
await seen(NAMES, 'buy bread, call the bank')

console.info('ada is killed; bob and eve go on')
ada.child.kill('SIGKILL')
eve.child.send({ finish: 'buy bread' })
bob.child.send({ add: 'water the plants' })
await seen(['bob', 'eve'], 'call the bank, water the plants')

console.info('bob and eve agree')
bob.child.kill()
eve.child.kill()
