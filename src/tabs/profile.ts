import { Bell } from '../runtime/bell.ts'
import { StoreInUseError } from '../runtime/errors.ts'
import { SafeEventEmitter } from '../runtime/events.ts'
import { within } from '../runtime/within.ts'
import { Client } from './client.ts'
import { CLOSING_PATIENCE, MAX_CHANNELS, PING_EVERY } from './constants.ts'
import { Election, isSame } from './core/election.ts'
import { Lease } from './lease.ts'
import { RemoteLogs } from './remote-logs.ts'
import { RemoteSessions } from './remote-sessions.ts'
import { Server, textOf } from './server.ts'
import type { ClientMessage } from './client.ts'
import type { Effect, Event, Reign } from './core/election.ts'
import type { CallOptions, ProfileEvents, ProfileState, Profile as ProfileFace, Store, TabsInit } from './index.ts'
import type { Channel, Ports } from './ports.ts'
import type { TabEvent, ToAll, ToLeader, ToTab } from './wire.ts'
import type { SharedLogs } from '../replication/index.ts'
import type { Clock, Timer } from '../runtime/clock.ts'
import type { Sessions } from '../session/index.ts'
import type { AbortOptions, Libp2p } from '@libp2p/interface'

/** What there is while this tab leads */
interface Rule {
  reign: Reign
  lease: Lease
  opening: AbortController
  /** Resolves when the node is there, or there will be none */
  opened: Promise<void>
  store?: Store
  node?: Libp2p<any>
  server?: Server
}

/** One tab of a profile: it asks whoever leads, and leads itself when it is its turn */
export class Profile extends SafeEventEmitter<ProfileEvents> implements ProfileFace<any> {
  readonly #init: TabsInit<any>
  readonly #tab: string
  readonly #ports: Ports
  readonly #clock: Clock
  readonly #election: Election
  readonly #client: Client
  readonly #logs: RemoteLogs
  readonly #sessions: RemoteSessions
  readonly #inbox: Channel
  readonly #all: Channel
  readonly #life = new AbortController()
  /** Channels to tabs that this one writes to */
  readonly #to = new Map<string, Channel>()
  /** Gives back the locks of a leader */
  #unlock = (): void => {}
  /** Ends the wait for the lock */
  #queued?: AbortController
  /** Resolves when others find in the locks whose reign it is */
  #reigning = Promise.resolve()
  #timer?: Timer
  #rule?: Rule
  /** The leader that this tab has said hello to */
  #greeted?: Reign
  readonly #changed = new Bell()
  #shown = ''
  /** Why the node could not be made here */
  #problem?: Error
  #stopping?: Promise<void>

  constructor (init: TabsInit<any>, tab: string, ports: Ports, clock: Clock) {
    const onListenerError = (err: unknown): void => { this.#fail(err) }
    super(onListenerError)
    this.#init = init
    this.#tab = tab
    this.#ports = ports
    this.#clock = clock
    this.#election = new Election(tab)
    this.#client = new Client({
      post: message => { this.#ask(message) },
      open: () => ({ logs: this.#logs.openLogs, protocols: this.#sessions.protocols }),
      onEvent: event => { this.#onEvent(event) }
    })
    this.#logs = new RemoteLogs({ client: this.#client, clock, onListenerError })
    this.#sessions = new RemoteSessions({ client: this.#client, tab, onListenerError })
    this.#inbox = ports.channel(this.#name(tab), message => { this.#receive(message) })
    this.#all = ports.channel(this.#name('all'), message => { this.#hear(message) })
  }

  get logs (): SharedLogs {
    return this.#logs
  }

  get sessions (): Sessions {
    return this.#sessions
  }

  get node (): Libp2p<any> | undefined {
    return this.#election.state.type === 'leading' ? this.#rule?.node : undefined
  }

  get state (): ProfileState {
    const { state, reign } = this.#election
    const problem = this.#problem == null ? {} : { problem: this.#problem.message }

    if (state.type === 'stopped') {
      return { status: 'stopped' }
    }
    if (state.type === 'leading') {
      return { status: 'leading' }
    }
    return state.type === 'following' && reign != null
      ? { status: 'following', leader: reign.leader, ...problem }
      : { status: 'electing', ...problem }
  }

  /** Resolves when some tab leads. Throws what `createNode` throws, if there is none but this one */
  async start ({ signal }: AbortOptions): Promise<void> {
    // whoever leads learns from it that this tab is gone
    await this.#hold(this.#name(`tab/${this.#tab}`), this.#life.signal)
    this.#step({ type: 'start' })
    this.#tick()

    try {
      while (this.state.status === 'electing') {
        if (this.#problem != null) {
          throw this.#problem
        }
        await this.#changed.rung({ signal })
      }
    } catch (err) {
      await this.stop()
      throw err
    }
  }

  async call (name: string, arg: unknown, { signal, repeats = false }: CallOptions = {}): Promise<any> {
    return (await this.#client.call('method', name, [arg], { signal, isOnce: !repeats })).value
  }

  stream (name: string, arg: unknown, { signal, repeats }: CallOptions = {}): AsyncGenerator<never> {
    return this.#client.walk('stream', name, () => [arg], { signal, resumes: repeats })
  }

  async stop (): Promise<void> {
    this.#stopping ??= this.#stop()
    await this.#stopping
  }

  async #stop (): Promise<void> {
    await within(this.#clock, CLOSING_PATIENCE, this.#logs.closing(), () => {})
    this.#ask({ type: 'bye' })
    this.#client.stop()
    this.#logs.end()
    this.#step({ type: 'stop' })

    while (this.#election.state.type !== 'stopped') {
      await this.#changed.rung()
    }

    this.#timer?.cancel()
    this.#life.abort()
    ;[this.#inbox, this.#all, ...this.#to.values()].forEach(channel => { channel.close() })
  }

  #tick (): void {
    this.#timer = this.#clock.after(PING_EVERY, () => {
      this.#step({ type: 'tick' })
      this.#election.state.type === 'stopped' || this.#tick()
    })
    this.#timer.unref?.()
  }

  #step (event: Event): void {
    const effects = this.#election.handle(event, this.#clock.now())
    effects.forEach(effect => { this.#perform(effect) })
    const { reign } = this.#election

    if (this.#greeted != null && !isSame(this.#greeted, reign)) {
      this.#greeted = undefined
      this.#client.leaderless()
    }

    this.#show()
  }

  #perform (effect: Effect): void {
    switch (effect.type) {
      case 'request':
        this.#queued = new AbortController()
        this.#take({ signal: this.#queued.signal }).catch(err => {
          // else the wait for it was ended, by a stop or a seizure
          this.#queued?.signal.aborted === true || this.#fail(err)
        })
        break
      case 'look':
        this.#look().then(reign => { this.#step({ type: 'found', reign }) }, err => { this.#fail(err) })
        break
      case 'ping':
        this.#post(effect.reign.leader, { from: this.#tab, reign: effect.reign, type: 'ping' } satisfies ToLeader)
        break
      case 'seize':
        this.#seize(effect).catch(err => {
          // by another one that was in a hurry, or the lock was taken from us at once: the next tick tries again
          this.#fail(err)
        })
        break
      case 'announce':
        this.#announce(effect.reign)
        break
      case 'open':
        this.#open(effect.reign)
        break
      case 'let-go':
        this.#letGo(effect.isFenced)
        break
      case 'release':
        this.#queued?.abort()
        this.#unlock()
        break
    }
  }

  /** Waits for the lock, or takes it. Resolves when it is ours; rejects when it will not be */
  async #take (options: { steal?: boolean, signal?: AbortSignal }): Promise<void> {
    const granted = Promise.withResolvers<void>()
    const held = Promise.withResolvers<void>()
    let isGranted = false
    this.#ports.locks.request(this.#name('leader'), options, async () => {
      isGranted = true
      this.#unlock = held.resolve
      this.#step({ type: 'granted', isForced: options.steal === true })
      granted.resolve()
      await held.promise
    }).catch(err => {
      granted.reject(err)
      isGranted && this.#step({ type: 'lost' })
    })
    await granted.promise
  }

  /** Takes the lead from a tab that stands still, unless another one has done so. One at a time does */
  async #seize ({ from, isForced }: Effect & { type: 'seize' }): Promise<void> {
    await this.#ports.locks.request(this.#name('seize'), { steal: isForced }, async () => {
      const reign = await this.#look()

      if (reign != null && !isSame(reign, from)) {
        this.#step({ type: 'refused', reign })
      } else if (this.#election.state.type === 'seizing') {
        this.#queued?.abort()
        await this.#take({ steal: true })
        // whoever is next finds that we lead
        await this.#reigning
      }
    })
  }

  #announce (reign: Reign): void {
    const over = new AbortController()
    const unlock = this.#unlock
    this.#unlock = () => {
      over.abort()
      unlock()
    }
    this.#reigning = this.#reign(reign, over.signal)
    // who opens the node waits for it, if it comes to that
    this.#reigning.catch(() => {})
    this.#all.post({ type: 'announce', reign, isReady: false } satisfies ToAll)
  }

  /** Others find by a lock whose reign it is. Those before it are over: what they ask, if they wake up, says so */
  async #reign (reign: Reign, over: AbortSignal): Promise<void> {
    const { locks } = this.#ports
    await this.#hold(this.#nameOf(reign), over, () => {
      isSame(reign, this.#election.reign) && this.#step({ type: 'lost' })
    })

    for (const name of await locks.held()) {
      if (name.startsWith(this.#name('reign/')) && name !== this.#nameOf(reign)) {
        await locks.request(name, { steal: true }, async () => {})
      }
    }
  }

  #open (reign: Reign): void {
    const lease = new Lease({
      clock: this.#clock,
      name: this.#init.name,
      isHeld: async () => (await this.#ports.locks.held()).includes(this.#nameOf(reign))
    })
    const rule: Rule = { reign, lease, opening: new AbortController(), opened: Promise.resolve() }
    this.#rule = rule
    rule.opened = this.#make(rule).then(() => {
      if (!rule.opening.signal.aborted) {
        this.#problem = undefined
        this.#step({ type: 'opened' })
        this.#all.post({ type: 'announce', reign, isReady: true } satisfies ToAll)
        this.#greet(reign)
      }
    }, err => {
      // else it was told to end
      if (!rule.opening.signal.aborted) {
        this.#problem = err
        this.#fail(err)
        this.#step({ type: 'failed' })
      }
    })
  }

  async #make (rule: Rule): Promise<void> {
    const { opening: { signal }, lease } = rule
    const { openDatastore, createNode, methods, logs = {} } = this.#init
    await this.#reigning
    rule.store = await openDatastore()
    signal.throwIfAborted()
    rule.node = await createNode({ datastore: lease.guard(rule.store), signal })
    signal.throwIfAborted()
    const { services } = rule.node
    rule.server = new Server({
      clock: this.#clock,
      logs: services.logs,
      sessions: services.sessions,
      methods: methods?.(rule.node, { signal }) ?? {},
      post: (tab, message) => { this.#answer(tab, { ...message, reign: rule.reign }) },
      functionsOf: id => ({ ...logs[id], ...this.#logs.functionsOf(id) }),
      confirm: async () => lease.confirm(),
      watch: (tab, signal, onGone) => {
        this.#ports.locks.request(this.#name(`tab/${tab}`), { signal }, async () => { onGone() }).catch(() => {
          // it left, or we do
        })
      }
    })
  }

  #letGo (isFenced: boolean): void {
    const rule = this.#rule

    if (rule == null) {
      return
    }

    const isFirst = !rule.opening.signal.aborted
    // before calls of others abort: methods see why
    rule.opening.abort(new StoreInUseError(`This tab does not lead the profile '${this.#init.name}' any more`))
    rule.server?.silence()
    isFenced && rule.lease.end()

    if (this.#election.state.type !== 'releasing') {
      // it is not waited for any longer
      this.#rule = undefined
    }
    if (isFirst) {
      this.#all.post({ type: 'resign', reign: rule.reign } satisfies ToAll)
      void this.#close(rule)
    }
  }

  async #close (rule: Rule): Promise<void> {
    await rule.opened

    try {
      await rule.node?.stop()
      rule.lease.end()
      await rule.store?.close?.()
    } catch (err) {
      rule.lease.end()
      this.#fail(err)
    }

    if (this.#rule === rule) {
      this.#rule = undefined
      this.#step({ type: 'released' })
    }
  }

  /** Says hello to a leader that has a node, once */
  #greet (reign: Reign): void {
    if (isSame(reign, this.#election.reign) && !isSame(reign, this.#greeted)) {
      this.#greeted = reign
      this.#client.hello()
    }
  }

  /** To the leader that knows this tab. Without one, it is said with the next hello */
  #ask (message: ClientMessage): void {
    const reign = this.#greeted

    if (reign?.leader === this.#tab) {
      queueMicrotask(() => { isSame(this.#rule?.reign, reign) && this.#rule?.server?.receive(this.#tab, message) })
    } else if (reign != null) {
      this.#post(reign.leader, { ...message, from: this.#tab, reign } satisfies ToLeader)
    }
  }

  /** From the leader that this tab is */
  #answer (tab: string, message: ToTab): void {
    if (tab === this.#tab) {
      queueMicrotask(() => { this.#receive(message) })
    } else {
      this.#post(tab, message)
    }
  }

  #receive (message: ToLeader | ToTab): void {
    const { reign } = message

    if ('from' in message && message.type === 'ping') {
      if (isSame(reign, this.#election.reign)) {
        const isReady = this.#rule?.server != null
        this.#post(message.from, { type: 'pong', reign, isReady } satisfies ToTab)
      } else {
        this.#all.post({ type: 'resign', reign } satisfies ToAll)
      }
    } else if ('from' in message) {
      isSame(reign, this.#rule?.reign) && this.#rule?.server?.receive(message.from, message)
    } else if (!isSame(reign, this.#election.reign)) {
      // from a leader that was replaced, and has not heard of it when it said this
    } else if (message.type === 'pong') {
      this.#step({ type: 'answered', reign })
      message.isReady && this.#greet(reign)
    } else {
      this.#client.receive(message)
    }
  }

  #hear (message: ToAll): void {
    if (message.type === 'resign') {
      this.#step({ type: 'resigned', reign: message.reign })
    } else {
      this.#step({ type: 'announced', reign: message.reign })
      message.isReady && this.#greet(message.reign)
    }
  }

  #onEvent (event: TabEvent): void {
    if ('log' in event) {
      this.#logs.onEvent(event)
    } else if (event.type === 'lost') {
      this.safeDispatchEvent('lost', { detail: { count: event.count } })
    } else {
      this.#sessions.onEvent(event)
    }
  }

  #post (tab: string, message: ToLeader | ToTab): void {
    const channel = this.#to.get(tab) ?? this.#ports.channel(this.#name(tab), () => {})
    // the ones that were written to last at the end
    this.#to.delete(tab)
    this.#to.set(tab, channel)
    const [oldest] = this.#to.size > MAX_CHANNELS ? this.#to.keys() : []

    if (oldest != null) {
      this.#to.get(oldest)?.close()
      this.#to.delete(oldest)
    }

    channel.post(message)
  }

  /** Resolves when the lock is held, which it is until the signal aborts, or somebody takes it */
  async #hold (name: string, until: AbortSignal, onTaken = (): void => {}): Promise<void> {
    const held = Promise.withResolvers<void>()
    this.#ports.locks.request(name, { signal: until }, async () => {
      held.resolve()
      await new Promise<void>(resolve => {
        until.addEventListener('abort', () => { resolve() }, { once: true })
        until.aborted && resolve()
      })
    }).catch(err => {
      held.reject(err)
      until.aborted || onTaken()
    })
    await held.promise
  }

  /** Whose reign it is, as the locks say */
  async #look (): Promise<Reign | undefined> {
    const prefix = this.#name('reign/')
    const [name] = (await this.#ports.locks.held()).filter(name => name.startsWith(prefix))
    const [leader, term] = name?.slice(prefix.length).split('/') ?? []
    return leader == null ? undefined : { leader, term: Number(term) }
  }

  #nameOf ({ leader, term }: Reign): string {
    return this.#name(`reign/${leader}/${term}`)
  }

  #name (of: string): string {
    return `sheaf-tabs:${this.#init.name}:${of}`
  }

  #show (): void {
    const text = textOf(this.state)

    if (text !== this.#shown) {
      this.#shown = text
      this.#changed.ring()
      this.safeDispatchEvent('change', { detail: this.state })
    }
  }

  #fail (error: unknown): void {
    this.safeDispatchEvent('problem', { detail: { error } })
  }
}
