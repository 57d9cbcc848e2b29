/**
 * One peer of a to-do list. Its parent sends it the name of a task, an id that is done, or an address to dial.
 */
import { noise } from '@chainsafe/libp2p-noise'
import { yamux } from '@chainsafe/libp2p-yamux'
import { identify } from '@libp2p/identify'
import { tcp } from '@libp2p/tcp'
import { createLibp2p } from 'libp2p'
import { directSub, sharedLogs, stayConnected } from 'libp2p-sheaf'
import { Documents } from 'libp2p-sheaf/database'

interface Task {
  id: string
  text: string
  isDone: boolean
}

const [name, ...known] = process.argv.slice(2)

const node = await createLibp2p({
  addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
  transports: [tcp()],
  connectionEncrypters: [noise()],
  streamMuxers: [yamux()],
  services: {
    identify: identify(),
    connected: stayConnected({ known }),
    pubsub: directSub(),
    logs: sharedLogs()
  }
})
const tasks = await Documents.open<Task>(node.services.logs, 'to-do', { indexes: ['isDone'] })

process.on('message', async ({ add, finish }: { add?: string, finish?: string }) => {
  if (add != null) {
    await tasks.put({ id: `${name}-${add}`, text: add, isDone: false })
  }
  for await (const task of tasks.query({ where: { isDone: false } })) {
    if (task.text === finish) {
      await tasks.put({ ...task, isDone: true })
    }
  }
})

process.send?.({ address: node.getMultiaddrs()[0].toString() })

// each change, whoever made it: the whole list as it is now
for await (const change of tasks.watch()) {
  const open: string[] = []

  for await (const { text } of tasks.query({ where: { isDone: false } })) {
    open.push(text)
  }

  process.send?.({ open: open.toSorted(), changed: change.key })
}
