import { Channels } from '../../src/link/core/channels.ts'
import { Flight } from '../../src/link/core/flight.ts'
import type { ChannelEffect, ChannelEvent } from '../../src/link/core/channels.ts'
import type { Standing } from '../../src/link/core/flight.ts'

type Name = 'opener' | 'other'

type Message =
  | { type: 'hello', standing: Standing }
  | { type: 'frame', id: number, life: number, bytes: number }
  | { type: 'credit', dealtWith: number }
  | { type: 'ended' }

/** A channel as one side sees it */
interface End {
  /** What is on its way to this side */
  arriving: Message[]
  hasSaidHello: boolean
  isOpen: boolean
  isOver: boolean
  position: number
  isCreditDue: boolean
}

interface Side {
  name: Name
  flight: Flight
  channels: Channels
  /** What it will be told of the connections */
  news: Array<string | undefined>
  current?: number
  retry: boolean
  lost: boolean
  ups: number
  downs: number
  /** Frames of the present pairing */
  sent: number
  received: number
}

const WINDOW = 40
/** Bytes of the frames that are sent, one after the other */
const SIZES = [3, 7, 5]

/**
 * The cores of both ends, driven against each other over connections that come and go and channels that die at any moment:
 * what one does reaches the other later, or never. All that may happen next is an action with a name. Whatever happens,
 * in a pairing each side gets the other's frames from the first one on, each once and in order; else an action throws.
 */
export class TwoSides {
  readonly #connections: string[] = []
  readonly #sides: Record<Name, Side>
  readonly #ends = new Map<number, Record<Name, End>>()
  readonly #on = new Map<number, string>()
  readonly #maxFrames: number
  #lives = 0
  #nextConnection = 0

  constructor (maxFrames: number) {
    this.#maxFrames = maxFrames
    this.#sides = { opener: this.#side('opener'), other: this.#side('other') }
  }

  /** What may happen now. The last words of an action's name say to whom */
  actions (): string[] {
    const actions = ['connect', ...this.#connections.map(name => `disconnect ${name}`)]

    for (const { name, news, retry, lost, channels } of Object.values(this.#sides)) {
      actions.push(...news.length > 0 ? [`tell ${name}`] : [], ...retry ? [`retry ${name}`] : [], ...lost ? [`lost ${name}`] : [])
      actions.push(...channels.isNeighbour ? [`restart ${name}`] : [])

      for (const [number, ends] of this.#ends) {
        actions.push(...ends[name].arriving.length > 0 ? [`read ${number} ${name}`] : [], ...this.#next(name, number) != null ? [`write ${number} ${name}`] : [])
      }
    }

    return [...actions, ...[...this.#ends.keys()].filter(number => this.#isAlive(number)).map(number => `break ${number}`)]
  }

  do (action: string): void {
    const [what, ...words] = action.split(' ')
    const side = this.#sides[words.at(-1) as Name]

    switch (what) {
      case 'connect': this.#connect(); break
      case 'disconnect': this.#disconnect(words[0]); break
      case 'break': this.#break(Number(words[0])); break
      case 'read': this.#read(side, Number(words[0])); break
      case 'write': this.#write(side, Number(words[0])); break
      case 'tell': this.#handle(side, { type: 'connections', best: side.news.shift() }); break
      case 'retry': side.retry = false; this.#handle(side, { type: 'retry' }); break
      case 'lost': side.lost = false; this.#handle(side, { type: 'lost' }); break
      case 'restart': side.current = undefined; this.#handle(side, { type: 'restart' }); break
    }

    Object.values(this.#sides).forEach(({ flight }) => { flight.check() })
  }

  /** Nothing is lost any more: what is on its way arrives */
  settle (): void {
    for (let i = 0; i < 10_000; i++) {
      const [action] = this.actions().filter(action => /^(tell|read|write)/.test(action)).concat(this.actions().filter(action => action.startsWith('retry')))

      if (action == null) {
        return
      }
      this.do(action)
    }

    throw new Error('it never comes to rest')
  }

  /** What is wrong when all is quiet, if anything is */
  disagreement (): string | undefined {
    const { opener, other } = this.#sides
    const [a, b] = [opener.channels.state, other.channels.state]
    const found = JSON.stringify([a, b, [...this.#on], this.#connections, opener, other])

    if ([opener, other].some(({ downs, ups }) => downs > ups)) {
      return `more often down than up: ${found}`
    }
    if (this.#connections.length === 0) {
      return a.status === 'down' && b.status === 'down' ? undefined : `not down: ${found}`
    }
    if (a.status !== 'up' || b.status !== 'up' || a.channel !== b.channel || a.connection !== this.#best || a.opening != null) {
      return `not up on the best connection: ${found}`
    }

    const open = [...this.#ends.values()].filter(ends => ends.opener.isOpen || ends.other.isOpen)
    const isAll = opener.sent === this.#maxFrames && other.sent === this.#maxFrames && opener.received === other.sent && other.received === opener.sent
    return open.length === 1 && isAll ? undefined : `not all came, or channels are left: ${found}`
  }

  #side (name: Name): Side {
    const flight = new Flight({ window: WINDOW, newLife: () => ++this.#lives })
    return { name, flight, channels: new Channels(name === 'opener', flight), news: [], retry: false, lost: false, ups: 0, downs: 0, sent: 0, received: 0 }
  }

  /** The newest */
  get #best (): string | undefined {
    return this.#connections.at(-1)
  }

  #connect (): void {
    this.#connections.push(`c${++this.#nextConnection}`)
    this.#tellConnections()
  }

  #disconnect (connection: string): void {
    this.#connections.splice(this.#connections.indexOf(connection), 1)
    ;[...this.#on].filter(([, on]) => on === connection).forEach(([number]) => { this.#break(number) })
    this.#tellConnections()
  }

  #tellConnections (): void {
    Object.values(this.#sides).forEach(({ news }) => { news.push(this.#best) })
  }

  #isAlive (number: number): boolean {
    return this.#on.has(number)
  }

  /** All that is on its way is lost */
  #break (number: number): void {
    this.#on.delete(number)
    for (const end of Object.values(this.#ends.get(number) as Record<Name, End>)) {
      end.arriving = end.isOver ? [] : [{ type: 'ended' }]
    }
  }

  /** What a side would write next on a channel, if anything */
  #next (name: Name, number: number): 'hello' | 'credit' | 'again' | 'frame' | undefined {
    const { flight, current, sent } = this.#sides[name]
    const end = this.#ends.get(number)?.[name]

    if (end == null || end.isOver || !this.#isAlive(number)) {
      return
    }
    if (!end.hasSaidHello) {
      return name === 'opener' || end.isOpen ? 'hello' : undefined
    }
    if (number !== current) {
      return
    }
    if (end.isCreditDue || flight.ungranted > 0) {
      return 'credit'
    }
    if (flight.hasAgain) {
      return 'again'
    }
    return sent < this.#maxFrames && SIZES[sent % SIZES.length] <= flight.left ? 'frame' : undefined
  }

  #write (side: Side, number: number): void {
    const { name, flight } = side
    const ends = this.#ends.get(number) as Record<Name, End>
    const end = ends[name]
    const { arriving } = ends[name === 'opener' ? 'other' : 'opener']

    switch (this.#next(name, number)) {
      case 'hello':
        end.hasSaidHello = true
        arriving.push({ type: 'hello', standing: { ...flight.standing, ...name === 'opener' ? { from: 0 } : {} } })
        break
      case 'credit':
        end.isCreditDue = false
        arriving.push({ type: 'credit', dealtWith: flight.grant() })
        break
      case 'again': {
        const [part] = flight.takeAgain() as Uint8Array[]
        arriving.push({ type: 'frame', id: part[0], life: flight.standing.life, bytes: part.byteLength })
        break
      }
      case 'frame': {
        const part = new Uint8Array(SIZES[side.sent % SIZES.length])
        part[0] = side.sent++
        flight.push([part], part.byteLength)
        arriving.push({ type: 'frame', id: part[0], life: flight.standing.life, bytes: part.byteLength })
        break
      }
      case undefined:
        throw new Error(`the ${name} has nothing to write on ${number}`)
    }
  }

  #read (side: Side, number: number): void {
    const end = (this.#ends.get(number) as Record<Name, End>)[side.name]
    const message = end.arriving.shift() as Message

    switch (message.type) {
      case 'hello':
        this.#handle(side, { type: 'hello', channel: number, connection: String(this.#on.get(number)), hello: message.standing, window: WINDOW })
        break
      case 'credit':
        if (side.flight.onGrant(message.dealtWith) === 'lie') {
          throw new Error(`a grant of ${message.dealtWith} was taken for a lie`)
        }
        break
      case 'frame':
        this.#receive(side, end, message)
        break
      case 'ended':
        this.#over(side, number)
        break
    }
  }

  #receive (side: Side, end: End, { id, life, bytes }: Extract<Message, { type: 'frame' }>): void {
    const isKnown = end.position < side.flight.received
    end.position += bytes

    if (isKnown) {
      return
    }
    if (id !== side.received || life !== side.flight.standing.of) {
      throw new Error(`the ${side.name} got frame ${id} of life ${life} where ${side.received} of ${side.flight.standing.of} was next`)
    }
    if (!side.flight.onReceive(bytes)) {
      throw new Error('an honest sender was taken for another')
    }
    side.received++
  }

  #over (side: Side, number: number): void {
    const end = (this.#ends.get(number) as Record<Name, End>)[side.name]
    end.isOver = true
    end.isOpen = false
    end.arriving = []
    side.current = side.current === number ? undefined : side.current
    this.#handle(side, { type: 'ended', channel: number })
  }

  #handle (side: Side, event: ChannelEvent): void {
    for (const effect of side.channels.handle(event)) {
      this.#act(side, effect, event)
    }
  }

  #act (side: Side, effect: ChannelEffect, event: ChannelEvent): void {
    switch (effect.type) {
      case 'open':
        this.#open(effect.channel, effect.connection)
        break
      case 'end':
        this.#end(side, effect.channel)
        break
      case 'up': {
        const end = (this.#ends.get(effect.channel) as Record<Name, End>)[side.name]
        end.isOpen = true
        end.isCreditDue = effect.met === 'resumed'
        end.position = side.name === 'opener' && event.type === 'hello' ? event.hello.from : side.flight.received
        side.current = effect.channel
        side.lost = false
        if (effect.met !== 'resumed') {
          side.ups++
          side.sent = 0
          side.received = 0
        }
        break
      }
      case 'fault':
        throw new Error(`an honest hello was taken for a lie: ${JSON.stringify(side)}`)
      case 'close':
        side.retry = false
        side.current = undefined
        ;[...this.#ends.keys()].forEach(number => { this.#end(side, number) })
        break
      case 'down':
        side.downs++
        side.lost = false
        break
      case 'retry-later':
        side.retry = true
        break
      case 'lost-later':
        side.lost = true
        break
    }
  }

  #open (number: number, connection: string): void {
    const end = (): End => ({ arriving: [], hasSaidHello: false, isOpen: false, isOver: false, position: 0, isCreditDue: false })
    this.#ends.set(number, { opener: end(), other: end() })
    this.#on.set(number, connection)

    if (!this.#connections.includes(connection)) {
      this.#break(number)
    }
  }

  /** Its own end it knows at once, the other side hears of it later, behind nothing that was on its way */
  #end (side: Side, number: number): void {
    const ends = this.#ends.get(number)

    if (ends == null || ends[side.name].isOver) {
      return
    }
    if (this.#isAlive(number)) {
      this.#on.delete(number)
      const other = ends[side.name === 'opener' ? 'other' : 'opener']
      other.arriving.push(...other.isOver ? [] : [{ type: 'ended' } as const])
    }

    this.#over(side, number)
  }
}
