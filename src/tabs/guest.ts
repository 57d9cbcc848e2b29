import { LogClosedError } from '../log/errors.ts'
import { keyOfBytes } from '../runtime/keys.ts'
import { requestOf } from './client.ts'
import { EVENT_BYTES, MAX_WAITING_BYTES, MAX_WALKS, PAGE_BYTES, PAGE_ITEMS } from './constants.ts'
import { Outbox } from './core/outbox.ts'
import { CannotCrossError } from './errors.ts'
import { textOf } from './server.ts'
import { entryToWire, errorToWire, fromWire, sizeOf, toWire } from './wire.ts'
import type { ClientMessage } from './client.ts'
import type { Posting } from './core/outbox.ts'
import type { Server } from './server.ts'
import type { Call, LogSnapshot, OpenLog, Page, TabEvent } from './wire.ts'
import type { EntryId } from '../log/entry-id.ts'
import type { Entry } from '../log/index.ts'
import type { SharedLog, SharedLogEvents } from '../replication/index.ts'

interface Opened {
  log: SharedLog
  /** The snapshot that the tab has */
  shown: string
}

/** What the tab reads at its own pace */
interface Walk {
  items: AsyncIterator<unknown>
  /** Items that go together at most. Of what happens now, each goes at once */
  size: number
  /** Aborts when nobody reads it any more */
  over: AbortController
}

interface Context {
  call: Call
  signal: AbortSignal
  /** What earlier leaders did for calls that they did not answer: entries, by what asked for them */
  done: Map<string, Entry[]>
}

type Method = (guest: Guest, log: SharedLog, args: any[], context: Context) => unknown

const NOTHING_DONE = new Map<string, Entry[]>()
const LOG_EVENTS: Array<keyof SharedLogEvents> = [
  'replicator:join', 'replicator:mature', 'replicator:leave', 'replication:change', 'sync:progress'
]

/** What a tab may ask a log for */
const METHODS: Record<string, Method> = {
  append: async (guest, log, [items, options], context) => guest.append(log, items, options, context),
  acked: async (_, log, [id, ack], { signal }) => {
    const entry = await log.get(id)
    await (entry == null ? undefined : log.acked(entry, ack, { signal }))
  },
  get: async (_, log, [id]) => log.get(id),
  has: async (_, log, [id]) => log.has(id),
  heads: async (_, log) => log.heads(),
  import: async (_, log, [chunks], { signal }) => log.import(chunks, { signal }),
  keeps: async (_, log, [group]) => log.keeps(group),
  marked: async (_, log, [program]) => log.marked(program),
  mark: async (_, log, [program, arrival]) => log.mark(program, arrival),
  trim: async (_, log, [options, ids], { signal }) => {
    const named = new Set((ids as EntryId[] | undefined)?.map(String))
    const when = (entry: Entry): boolean => named.has(`${entry.id}`)
    return log.trim({ ...options, signal, ...ids == null ? {} : { when } })
  },
  replicate: async (_, log, [options]) => log.replicate(options),
  waitForReplicators: async (_, log, [options], { signal }) => log.waitForReplicators({ ...options, signal }),
  waitForSync: async (_, log, __, { signal }) => log.waitForSync({ signal }),
  drop: async (_, log) => log.drop(),
  entries: async (guest, log, [options], context) => guest.walk(context, log.entries(options)),
  arrivals: async (guest, log, [from], context) => guest.walk(context, log.arrivals(from)),
  elsewhere: async (guest, log, [options], context) => guest.walk(context, log.elsewhere(options)),
  shelf: async (guest, log, [program], context) => {
    guest.claim(log.id, program)
    return guest.walk(context, log.shelf(program).read())
  },
  writeShelf: async (guest, log, [program, changes]) => {
    if (guest.hasClaimed(log.id, program)) {
      await log.shelf(program).write(changes)
    }
  }
}

/** One tab, as the leader sees it: what it has open, what it waits for, and what it is told */
export class Guest {
  readonly #tab: string
  readonly #server: Server
  readonly #logs = new Map<string, Opened>()
  /** Why a log that the tab has open cannot be opened here */
  readonly #failures = new Map<string, Error>()
  readonly #walks = new Map<number, Walk>()
  readonly #calls = new Map<number, AbortController>()
  readonly #outbox = new Outbox<TabEvent>()
  readonly #left = new AbortController()
  #events: TabEvent[] = []
  #eventBytes = 0
  #ready = Promise.resolve()

  constructor (tab: string, server: Server) {
    this.#tab = tab
    this.#server = server
  }

  /** Aborts when it has left */
  get gone (): AbortSignal {
    return this.#left.signal
  }

  receive (message: Exclude<ClientMessage, { type: 'ping' | 'bye' }>): void {
    switch (message.type) {
      case 'hello':
        this.#ready = this.#begin(message)
        break
      case 'call':
        // behind what an earlier leader has not answered, and in the order in which the tab called
        void this.#ready.then(async () => this.#serve(message.call, NOTHING_DONE))
        break
      case 'cancel':
        void this.#ready.then(() => {
          this.#calls.get(message.number)?.abort()
          this.#return(message.number)
        })
        break
      case 'ack':
        this.#post(this.#outbox.acked(message.bytes))
        break
    }
  }

  tell (event: TabEvent): void {
    const log = event.type === 'add' ? event.log : undefined
    const bytes = EVENT_BYTES + (event.type === 'add' || event.type === 'remove'
      ? event.entry.bytes.byteLength + event.entry.proof.byteLength
      : sizeOf(event))
    this.#post(this.#outbox.push({ log, bytes, value: event }))
  }

  /** Tells what is different by now, of what the tab shows without asking */
  look (): void {
    for (const [id, opened] of this.#outbox.held > 0 ? [] : this.#logs) {
      if (opened.log.status === 'open') {
        this.#show(id, opened)
      }
    }
  }

  leave (): void {
    this.#left.abort()
    this.#calls.forEach(call => { call.abort() })
    this.#walks.forEach((_, walk) => { this.#return(walk) })
    this.#logs.forEach(({ log }) => { this.#close(log) })
    this.#logs.clear()
    this.#server.claims.forEach((guest, name) => { guest === this && this.#server.claims.delete(name) })
  }

  async append (
    log: SharedLog, items: Uint8Array[], { ack, ...options }: any, { call: { number }, signal, done }: Context
  ): Promise<Entry[]> {
    const request = requestOf(this.#tab, number)
    const own = { ...options, signal, request }
    const entries = done.get(keyOfBytes(request)) ??
      (items.length === 1 ? [await log.append(items[0], own)] : await log.appendMany(items, own))

    if (ack != null && ack !== 'stored') {
      await Promise.all(entries.map(async entry => log.acked(entry, ack, { signal })))
    }

    return entries
  }

  async walk (
    { call: { number } }: Context, items: AsyncIterable<unknown>, size = PAGE_ITEMS, over = new AbortController()
  ): Promise<Page | undefined> {
    this.#walks.set(number, { items: items[Symbol.asyncIterator](), size, over })
    // a tab that reads more at once begins the oldest ones again
    const [oldest] = this.#walks.size > MAX_WALKS ? this.#walks.keys() : []
    oldest != null && this.#return(oldest)
    return this.#next(number)
  }

  /** The next page of a walk. Undefined: there is none of this number */
  async #next (number: number): Promise<Page | undefined> {
    const walk = this.#walks.get(number)
    const items: unknown[] = []
    let bytes = 0

    if (walk == null) {
      return
    }

    while (items.length < walk.size && bytes < PAGE_BYTES) {
      const { done, value } = await walk.items.next()

      if (done === true) {
        this.#walks.delete(number)
        return { items, isDone: true }
      }

      const item = toWire(value, 'an item')
      items.push(item)
      bytes += sizeOf(item)
    }

    return { items, isDone: false }
  }

  #return (number: number): void {
    const { items, over } = this.#walks.get(number) ?? {}
    this.#walks.delete(number)
    over?.abort()
    items?.return?.().catch(() => {
      // nobody reads it any more
    })
  }

  /** Who was the first to read a shelf in this reign, and has the log open, is the one that writes it */
  claim (log: string, program: string): void {
    const name = `${log}\n${program}`

    if (!this.#server.claims.has(name)) {
      this.#server.claims.set(name, this)
    }
  }

  hasClaimed (log: string, program: string): boolean {
    return this.#server.claims.get(`${log}\n${program}`) === this
  }

  async #begin ({ logs, protocols, calls }: Extract<ClientMessage, { type: 'hello' }>): Promise<void> {
    protocols.forEach(protocol => {
      try {
        this.#server.handle(protocol, this)
      } catch (err: any) {
        this.#failures.set(protocol, err)
      }
    })
    await Promise.all(logs.map(async log => this.#open(log, this.gone).then(opened => { this.#show(log.id, opened) },
      (err: Error) => { this.#failures.set(log.id, err) })))
    const done = await this.#done(calls)
    calls.forEach(call => { void this.#serve(call, done) })
  }

  /** What earlier leaders have stored for these calls: each of them has put the call into the record of the entry */
  async #done (calls: Call[]): Promise<Map<string, Entry[]>> {
    const done = new Map<string, Entry[]>()

    for (const [id, { log }] of this.#logs) {
      const repeats = calls.filter(({ of, isRepeat, since }) =>
        isRepeat && since != null && typeof of === 'object' && of.log === id)
      const since = Math.min(...repeats.map(({ since = 0 }) => since))
      const wanted = new Set(repeats.map(({ number }) => keyOfBytes(requestOf(this.#tab, number))))

      try {
        for await (const { entry } of wanted.size === 0 ? [] : log.arrivals(since)) {
          const name = entry.request == null ? '' : keyOfBytes(entry.request)

          if (wanted.has(name)) {
            done.set(name, [...done.get(name) ?? [], entry])
          }
        }
      } catch (err: any) {
        // an error is better than to append twice
        this.#logs.delete(id)
        this.#failures.set(id, err)
        this.#close(log)
      }
    }

    return done
  }

  async #serve (call: Call, done: Map<string, Entry[]>): Promise<void> {
    const { number } = call
    const controller = new AbortController()
    this.#calls.set(number, controller)

    try {
      const value = await this.#perform({ call, signal: controller.signal, done })
      const end = call.method === 'append' ? this.#logOf(call).nextArrival : undefined
      this.#answer(number, { value: answerOf(value, call), end })
    } catch (err: any) {
      // what fails as we lead no more is done by the next leader
      await this.#server.init.confirm().then(() => { this.#answer(number, { error: errorToWire(err) }) }, () => {})
    } finally {
      this.#calls.delete(number)
    }
  }

  async #perform (context: Context): Promise<unknown> {
    const { call, signal } = context
    const { of, method } = call
    const args = fromWire(call.args)

    if (typeof of === 'object') {
      return METHODS[method](this, this.#logOf(call), args, context)
    }
    if (of === 'method') {
      return this.#server.methodOf(method)(args[0], { signal })
    }
    if (of === 'stream') {
      const over = new AbortController()
      const items = this.#server.methodOf(method)(args[0], { signal: over.signal })
      return this.walk(context, items as AsyncIterable<unknown>, 1, over)
    }

    switch (`${of} ${method}`) {
      case 'logs open':
        return snapshotOf((await this.#open(call.args[0] as OpenLog, signal)).log)
      case 'logs close': {
        const log = this.#logs.get(args[0])?.log
        this.#logs.delete(args[0])
        await log?.close()
        return
      }
      case 'walks next':
        return this.#next(args[0])
      case 'walks return':
        this.#return(args[0])
        return
      case 'sessions send':
        return this.#server.sessions.send(args[0], args[1], { ...args[2], signal })
      case 'sessions rekey':
        return this.#server.sessions.rekey(args[0], { ...args[1], signal })
      case 'sessions close':
        return this.#server.sessions.close(args[0], { signal })
      case 'sessions handle':
        this.#server.handle(args[0], this)
        return
      case 'sessions unhandle':
        this.#server.unhandle(args[0], this)
    }
  }

  #logOf ({ of }: Call): SharedLog {
    const id = (of as { log: string }).log
    const opened = this.#logs.get(id)

    if (opened == null) {
      throw this.#failures.get(id) ?? new LogClosedError(`The log '${id}' is not open any more: open it again`)
    }
    return opened.log
  }

  async #open (open: OpenLog, signal: AbortSignal): Promise<Opened> {
    const known = this.#logs.get(open.id)

    if (known != null) {
      return known
    }

    const log = await this.#server.openLog(open, signal)

    if (this.gone.aborted) {
      this.#close(log)
    }

    const opened: Opened = { log, shown: '' }
    this.#logs.set(open.id, opened)
    this.#failures.delete(open.id)
    this.#listen(log)
    return opened
  }

  #listen (log: SharedLog): void {
    const { id } = log
    log.addEventListener('entry:add', ({ detail: { entry, arrival } }) => {
      this.tell({ type: 'add', log: id, arrival, entry: entryToWire(entry), length: log.length })
    })
    log.addEventListener('entry:remove', ({ detail: { entry } }) => {
      this.tell({ type: 'remove', log: id, entry: entryToWire(entry), length: log.length })
    })
    LOG_EVENTS.forEach(name => {
      log.addEventListener(name, ({ detail }: CustomEvent) => {
        this.tell({ type: 'log', log: id, name, detail: toWire(detail, name) })
      })
    })
    log.addEventListener('close', () => {
      // who closed it itself is not told
      if (this.#logs.get(id)?.log === log) {
        this.#logs.delete(id)
        this.tell({ type: 'closed', log: id })
      }
    })
  }

  #close (log: SharedLog): void {
    log.close().catch(() => {
      // the node stops, or its disk fails: it is closed all the same
    })
  }

  #show (id: string, opened: Opened): void {
    const snapshot = snapshotOf(opened.log)
    const text = textOf(snapshot)

    if (text !== opened.shown) {
      opened.shown = text
      this.tell({ type: 'snapshot', log: id, snapshot })
    }
  }

  #post ({ items, behind }: Posting<TabEvent>): void {
    const isFirst = this.#events.length === 0
    items.forEach(({ value, bytes }) => {
      this.#events.push(value)
      this.#eventBytes += bytes
    })
    behind.forEach(log => {
      const end = this.#logs.get(log)?.log.nextArrival
      end != null && this.#events.push({ type: 'behind', log, end })
    })
    const lost = items.length > 0 ? this.#outbox.takeLost() : 0
    lost > 0 && this.#events.push({ type: 'lost', count: lost })

    // those of one tick go together
    if (isFirst && this.#events.length > 0) {
      this.#server.init.clock.soon(() => { this.#flush() })
    }
  }

  #flush (): void {
    const [events, bytes] = [this.#events, this.#eventBytes]
    ;[this.#events, this.#eventBytes] = [[], 0]

    if (events.length > 0 && !this.gone.aborted && !this.#server.isStopped) {
      this.#server.init.post(this.#tab, { type: 'events', events, bytes })
    }
  }

  /** Behind all that happened before it */
  #answer (number: number, answer: { value?: unknown, error?: ReturnType<typeof errorToWire>, end?: number }): void {
    this.#flush()

    if (!this.gone.aborted && !this.#server.isStopped) {
      this.#server.init.post(this.#tab, { type: 'answer', number, ...answer })
    }
  }
}

function answerOf (value: unknown, { method }: Call): unknown {
  const answer = toWire(value, `${method}()`)
  const bytes = sizeOf(answer)

  if (bytes > MAX_WAITING_BYTES) {
    throw new CannotCrossError(`${method}() has an answer of ${bytes} bytes, and ${MAX_WAITING_BYTES} go from tab ` +
      'to tab at once: let it be a stream, or a Blob')
  }
  return answer
}

function snapshotOf (log: SharedLog): LogSnapshot {
  return {
    length: log.length,
    nextArrival: log.nextArrival,
    coverage: log.coverage(),
    replicators: toWire(log.replicators(), 'replicators()'),
    synced: toWire(log.synced(), 'synced()'),
    diagnostics: toWire(log.diagnostics(), 'diagnostics()')
  }
}
