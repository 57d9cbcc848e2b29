import { FailedError, oneLine } from './errors.ts'
import { spoken } from './events.ts'
import { DEFAULT_LOG, MEMORY, otherStore } from './flags.ts'
import { ACK_TIMEOUT, Lines } from './lines.ts'
import { ownPeer } from './own-name.ts'
import { Prompt } from './prompt.ts'
import { count, linesOf, printable, quote, ringInWords, short } from './text.ts'
import type { ProcessCommand } from './command.ts'
import type { Event } from './events.ts'
import type { Options } from './flags.ts'
import type { Inspector } from './inspector/server.ts'
import type { MetricsServer } from './metrics.ts'
import type { Node } from './node.ts'
import type { Terminal } from './terminal.ts'
import type { Metrics } from '@libp2p/interface'
import type { SharedLog } from 'libp2p-sheaf'

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
  flags: ['log', 'store', 'join', 'replicate', 'listen', 'last', 'inspect', 'metrics', 'json', 'help'],
  isEndless: () => true,
  run,
  words
}

interface Served {
  inspector?: Inspector
  metrics?: MetricsServer
  /** For `createLibp2p({ metrics })` */
  component? (components: any): Metrics
}

async function run (options: Options, terminal: Terminal, signal: AbortSignal): Promise<void> {
  // all that takes a while to load: help and mistakes do without it
  const [{ join, openLog, openNode }, { serve }] = await Promise.all([import('./node.ts'), import('./beside.ts')])
  const startedAt = Date.now()
  const { inspector, metrics, component } = await served(options)

  try {
    const opened = await openNode({ store: options.store, listen: options.listen, metrics: component })
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
      const lines = new Lines(log, node.peerId, terminal, options)
      await join(node, log, options.join, signal)
      await introduce(node, log, options, terminal, { inspector: inspector?.url, metrics: metrics?.url })
      await lines.showOld()
      await Promise.race([stopped(signal), read(lines, options, terminal, signal)])
      await stopped(signal)
      await terminal.print({ type: 'closing' })
    } finally {
      await stop?.()
      await opened.close()
    }
  } finally {
    inspector?.close()
    metrics?.close()
  }
}

/** What others may look at, and what they see measured */
async function served ({ inspect, metrics }: Options): Promise<Served> {
  if (inspect == null && metrics == null) {
    return {}
  }

  const [{ Inspector }, { prometheusMetrics, serveMetrics }] = await Promise.all([
    import('./inspector/server.ts'), import('./metrics.ts')
  ])
  const inspector = inspect == null ? undefined : await Inspector.serve(inspect)

  try {
    return {
      inspector,
      metrics: metrics == null ? undefined : await serveMetrics(metrics),
      component: prometheusMetrics()
    }
  } catch (err) {
    inspector?.close()
    throw err
  }
}

/** What is typed or piped in, until it ends */
async function read (lines: Lines, { json }: Options, terminal: Terminal, signal: AbortSignal): Promise<void> {
  if (json || !process.stdin.isTTY || !process.stdout.isTTY) {
    try {
      await lines.append(linesOf(process.stdin))
    } catch (err: any) {
      if (!(err instanceof FailedError)) {
        throw err
      }
      await terminal.print({ type: 'note', message: `Nothing more of stdin is appended: ${err.message}` })
    }
    return
  }

  const prompt = new Prompt(process.stdin, process.stdout)
  const close = (): void => {
    terminal.prompt(undefined)
    prompt.close()
  }
  signal.addEventListener('abort', close)
  terminal.prompt(prompt)
  prompt.show()
  await lines.append(prompt.lines())
  close()
}

async function introduce (
  node: Node, log: SharedLog, { store, log: id }: Options, terminal: Terminal,
  { inspector, metrics }: { inspector?: string, metrics?: string }
): Promise<void> {
  const addresses = node.getMultiaddrs().map(address => address.toString())
  // two nodes cannot have one store
  const join = addresses.length === 0
    ? undefined
    : `${ownPeer()} --join ${quote(addresses[0])} --store ` +
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
    metrics: metrics ?? (inspector == null ? undefined : `${inspector}metrics`)
  })
}

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
