import { once } from 'node:events'
import { stat } from 'node:fs/promises'
import { FailedError, oneLine, UsageError } from './errors.ts'
import { MEMORY } from './flags.ts'
import { ownName } from './own-name.ts'
import { fileInWords, quote, short } from './text.ts'
import type { ProcessCommand } from './command.ts'
import type { Event } from './events.ts'
import type { Options } from './flags.ts'
import type { Node } from './node.ts'
import type { Terminal } from './terminal.ts'

export const receive: ProcessCommand = {
  takes: '[DIR]',
  about: 'take files that others send, into a directory',
  more: `Takes the files that others send, into DIR or else the current directory, and prints the line with which they
do. Whoever knows the address can send something. A file that is not all there is called NAME.part, and NAME when all of
it is verified. When either side was interrupted and the file is sent again, it goes on where it was. No file is ever
overwritten: the second one is called NAME-2. The address is a new one each time, and nothing but files is left behind;
with --store and --listen the address stays. Ctrl-C ends; a second one ends at once.`,
  examples: [
    ['sheaf receive', 'from this machine, into the current directory'],
    ['sheaf receive ~/inbox --listen /ip4/0.0.0.0/tcp/4001', 'from other machines, too'],
    ['sheaf receive --store ./key --listen /ip4/0.0.0.0/tcp/4001', 'at the same address the next time'],
    ['sheaf receive --join /ip4/192.0.2.1/tcp/4001', 'by way of a node that both sides can reach']
  ],
  flags: ['listen', 'join', 'store', 'json', 'help'],
  // it does not get in the way of a 'sheaf peer' in the same directory, and leaves nothing in one that is for files
  initially: { store: [MEMORY] },
  isEndless: () => true,
  run,
  words
}

async function run ({ texts, store, listen, join }: Options, terminal: Terminal, signal: AbortSignal): Promise<void> {
  const [dir = '.'] = texts

  if (texts.length > 1) {
    throw new UsageError(`receive takes one directory, not ${texts.length}`)
  }

  await checkDirectory(dir)
  // all that takes a while to load: help and mistakes do without it
  const [{ connect, openNode }, { Inbox }] = await Promise.all([import('./node.ts'), import('./inbox.ts')])
  const { node, close } = await openNode({ store, listen })

  try {
    const inbox = new Inbox(node, dir, terminal, signal)
    await connect(node, join, signal)
    await introduce(node, dir, join.map(String), terminal)

    if (!signal.aborted) {
      await once(signal, 'abort')
    }

    await terminal.print({ type: 'closing' })
    await inbox.end()
  } finally {
    await close()
  }
}

async function checkDirectory (dir: string): Promise<void> {
  const found = await stat(dir).catch(err => {
    const why = err.code === 'ENOENT' ? 'make it' : oneLine(err)
    throw new FailedError(`There is no directory ${dir}: ${why}, or name another one`)
  })

  if (!found.isDirectory()) {
    throw new FailedError(`${dir} is no directory: name one for the files`)
  }
}

async function introduce (node: Node, dir: string, [relay]: string[], terminal: Terminal): Promise<void> {
  const addresses = node.getMultiaddrs().map(address => address.toString())
  const outside = addresses.find(address => !isLoopback(address))
  // a node behind a relay may be found by nobody else
  const to = relay == null ? outside ?? addresses[0] : `${node.peerId} --join ${quote(relay)}`
  const peer = node.peerId.toString()
  await terminal.print({ type: 'receiving', peer, dir, addresses, send: `${ownName()} send FILE ${to}` })
}

const isLoopback = (address: string): boolean => /^\/(ip4\/127\.|ip6\/::1\/)/.test(address)

function words (event: Event): string | undefined {
  switch (event.type) {
    case 'receiving':
      return [
        `This is ${short(event.peer)}, and takes files into ${event.dir}. To send one:`,
        `  ${event.send}`,
        ...(event.addresses.every(isLoopback)
          ? ['That is for this machine only; --listen lets in others, see --help.']
          : [])
      ].join('\n')
    case 'file':
      return fileInWords(event)
    case 'closing':
      return '* closing; Ctrl-C again ends at once'
    default:
      return undefined
  }
}
