import { oneLine } from './errors.ts'
import { spoken } from './events.ts'
import { DEFAULT_LOG, MEMORY, otherStore } from './flags.ts'
import { ACK_TIMEOUT, Lines } from './lines.ts'
import { count, linesOf, printable, quote, ringInWords, short } from './text.ts'
import type { ProcessCommand } from './command.ts'
import type { Event } from './events.ts'
import type { Options } from './flags.ts'
import type { Node } from './node.ts'
import type { Terminal } from './terminal.ts'
import type { SharedLog } from '../src/index.ts'

export const peer: ProcessCommand = {
  about: 'run a node with a shared log: what you type is appended, what others append is shown',
  more: `Runs a node that keeps a log with others, and prints the line with which another one joins it. What was
appended before is shown first, what others append as it arrives. Type a line to append it. Ctrl-C ends; a second one
ends at once. While it runs, 'sheaf status', 'append' and 'cat' with the same store ask it, and a page shows what it
does: the inspector, at the address that it prints.`,
  examples: [
    ['sheaf peer', 'the log lobby in ./data'],
    ['sheaf peer --store ./data2 --join /ip4/127.0.0.1/tcp/4001', 'a second node on this machine'],
    ['sheaf peer --listen /ip4/0.0.0.0/tcp/4001 --replicate 0.25', 'found from elsewhere, with a part of the log'],
    ['sheaf peer --inspect 9464 --json < /dev/null', 'as a service']
  ],
  flags: ['log', 'store', 'join', 'replicate', 'listen', 'inspect', 'json', 'help'],
  isEndless: () => true,
  run,
  words
}

async function run (options: Options, terminal: Terminal, signal: AbortSignal): Promise<void> {
  // all that takes a while to load: help and mistakes do without it
  const [{ join, openLog, openNode }, { serve }] = await Promise.all([import('./node.ts'), import('./beside.ts')])
  const startedAt = Date.now()
  const inspector = options.inspect == null
    ? undefined
    : await (await import('./inspector/server.ts')).Inspector.serve(options.inspect)

  try {
    const opened = await openNode({ store: options.store, listen: options.listen, metrics: inspector?.component })
    let stop: (() => Promise<void>) | undefined

    try {
      const { node, store: { dir } } = opened
      const log = await openLog(opened, options.log, options.replicate)

      if (dir != null) {
        stop = await serve(dir, opened).catch(async err => {
          await terminal.print({
            type: 'note',
            message: "'sheaf status', 'append' and 'cat' cannot ask this node: " +
              `a store with a shorter name may do (${oneLine(err)})`
          })
          return undefined
        })
      }

      inspector?.show({ node, log, store: dir, startedAt })
      const lines = new Lines(log, node.peerId, terminal)
      await join(node, log, options.join, signal)
      await introduce(node, log, options, terminal, inspector?.url)
      await lines.showOld()
      await Promise.race([stopped(signal), lines.append(linesOf(process.stdin))])
      await stopped(signal)
      await terminal.print({ type: 'closing' })
    } finally {
      await stop?.()
      await opened.close()
    }
  } finally {
    inspector?.close()
  }
}

async function introduce (
  node: Node, log: SharedLog, { store, log: id }: Options, terminal: Terminal, inspector?: string
): Promise<void> {
  const addresses = node.getMultiaddrs().map(address => address.toString())
  // two nodes cannot have one store
  const join = addresses.length === 0
    ? undefined
    : `${nameOfThis()} --join ${quote(addresses[0])} --store ` +
      `${quote(otherStore(store))}${id === DEFAULT_LOG ? '' : ` --log ${quote(id)}`}`
  await terminal.print({
    type: 'listening',
    peer: node.peerId.toString(),
    log: id,
    length: log.length,
    store: store === MEMORY ? undefined : store,
    addresses,
    join,
    inspector,
    metrics: inspector == null ? undefined : `${inspector}metrics`
  })
}

/** As it was called: in a clone of this repository by npm */
const nameOfThis = (): string => process.env.npm_lifecycle_event === 'start' ? 'npm start --' : 'sheaf peer'

async function stopped (signal: AbortSignal): Promise<void> {
  if (!signal.aborted) {
    const { promise, resolve } = Promise.withResolvers<void>()
    signal.addEventListener('abort', () => { resolve() })
    await promise
  }
}

function words (event: Event): string | undefined {
  switch (event.type) {
    case 'entry':
      return printable(spoken(event))
    case 'stored':
      return `  (${storedInWords(event)})`
    case 'replicator':
      return event.is === 'gone'
        ? `* ${short(event.peer)} is gone`
        : `* ${short(event.peer)} ${event.is === 'here' ? 'is here, and' : 'now'} keeps ` +
          `${ringInWords(event.share ?? 0)}`
    case 'listening':
      return [
        `This is ${short(event.peer)}, with ${count(event.length, 'line')} of '${event.log}' ` +
          `${event.store == null ? 'in memory, and gone when this ends' : `in ${event.store}`}, listening on`,
        ...event.addresses.map(address => `  ${address}`),
        ...(event.join == null ? [] : ['In another terminal:', `  ${event.join}`]),
        ...(event.inspector == null ? [] : ['What it does, in a browser:', `  ${event.inspector}`])
      ].join('\n')
    case 'closing':
      return '* closing; Ctrl-C again ends at once'
    default:
      return undefined
  }
}

function storedInWords (event: Extract<Event, { type: 'stored' }>): string {
  if ('missing' in event) {
    return `stored here; ${event.missing === 1 ? 'no other has' : `not all of ${event.missing} others have`} said ` +
      `within ${ACK_TIMEOUT / 1_000} s that they stored it: they get it when they can`
  }

  const { others } = event
  return others === 0
    ? 'stored here; nobody else is there yet'
    : `${others} ${others === 1 ? 'other has' : 'others have'} stored it`
}
