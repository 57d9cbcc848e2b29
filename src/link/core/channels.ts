import type { Flight, Standing } from './flight.ts'

/**
 * Which stream to a neighbour is in use. A pure reducer: `handle(event)` changes the state and says what to do.
 *
 * Of two neighbours the one with the smaller id opens the streams, always and on whichever connection it likes best, so
 * that simultaneous dials, restarts and better connections can never leave two streams that the two sides disagree on:
 * the opener's newest channel is the channel. The opener counts its channels; the count is in its hello.
 *
 * | event       | down       | opening              | waiting    | up                                              |
 * |-------------|------------|----------------------|------------|-------------------------------------------------|
 * | connections | -> opening | (on failure: again)  | -> opening | a better one: open there, stay up               |
 * | no more     | -          | -> down              | -> down    | -> down, told upwards once                      |
 * | hello       | end it     | -> up                | end it     | the new channel replaces the old one, which ends |
 * | ended       | -          | -> waiting (backoff) | -          | -> waiting (backoff), still a neighbour;        |
 * |             |            |                      |            | -> opening if a better one is on its way        |
 * | retry       | -          | -                    | -> opening | open on the better connection again             |
 * | lost        | -          | no neighbour now, told upwards once || -                                             |
 * | restart     | -          | a new life           | a new life | a new life; end it                              |
 *
 * The other side does not open: where the opener is `opening` or `waiting`, it is `waiting` for the opener, and a hello
 * brings it up. It ends a channel that is older than one it has seen.
 *
 * No frame depends on which channel carries it (see Flight): a channel may end, or be replaced, at any moment.
 */
export type ChannelState =
  | { status: 'down' }
  | { status: 'opening', opening: number }
  | { status: 'waiting' }
  | { status: 'up', connection: string, channel: number, opening?: number }

export type ChannelEvent =
  /** The best connection to this neighbour is now this one; none: the last is gone */
  | { type: 'connections', best?: string }
  /** The other side said hello on a channel */
  | { type: 'hello', channel: number, connection: string, hello: Standing, window: number }
  /** A channel ended, or could not be opened */
  | { type: 'ended', channel: number }
  | { type: 'retry' }
  /** There was no channel for too long */
  | { type: 'lost' }
  /** This side begins a new life */
  | { type: 'restart' }

export type ChannelEffect =
  | { type: 'open', channel: number, connection: string }
  /** End this channel, at once */
  | { type: 'end', channel: number }
  /** Both have said hello on this channel: it is in use. What `met` says is between the two lives, see `Flight.meet` */
  | { type: 'up', channel: number, met: 'resumed' | 'paired' | 'other-life' }
  /** No honest neighbour says hello like this */
  | { type: 'fault', channel: number }
  /** End all channels at once */
  | { type: 'close' }
  /** The peer is no neighbour any more. One 'down' ends all 'up's before it, and none comes without one */
  | { type: 'down' }
  | { type: 'retry-later' }
  | { type: 'lost-later' }

export class Channels {
  readonly #isOpener: boolean
  readonly #flight: Flight
  #best?: string
  /** The last channel that was opened, by the opener's count */
  #last = 0
  /** Whether the other side was met, and is not lost since */
  isNeighbour = false
  state: ChannelState = { status: 'down' }

  constructor (isOpener: boolean, flight: Flight) {
    this.#isOpener = isOpener
    this.#flight = flight
  }

  handle (event: ChannelEvent): ChannelEffect[] {
    switch (event.type) {
      case 'connections': return this.#onConnections(event.best)
      case 'hello': return this.#onHello(event)
      case 'ended': return this.#onEnded(event.channel)
      case 'retry': return this.#onRetry()
      case 'lost': return this.#onLost()
      case 'restart': return this.#onRestart()
    }
  }

  #onConnections (best?: string): ChannelEffect[] {
    const { status } = this.state
    this.#best = best

    if (best == null) {
      this.state = { status: 'down' }
      return status === 'down' ? [] : [{ type: 'close' }, ...this.#down()]
    }

    return status === 'down' ? this.#open() : this.#onRetry()
  }

  #onHello ({ channel, connection, hello, window }: Extract<ChannelEvent, { type: 'hello' }>): ChannelEffect[] {
    const { state } = this
    const { life, of } = this.#flight.standing
    // an opener that begins anew also counts anew
    const isOld = !this.#isOpener && hello.life === of && channel <= this.#last
    // an answer to what an earlier life of this side said, or to a channel that was given up
    const isLate = this.#isOpener && !(hello.of === life && 'opening' in state && state.opening === channel)

    if (state.status === 'down' || isOld || isLate) {
      return [{ type: 'end', channel }]
    }

    const met = this.#flight.meet(hello, window, this.#isOpener)

    if (met === 'lie') {
      return [{ type: 'fault', channel }]
    }

    const replaced: ChannelEffect[] = state.status === 'up' ? [{ type: 'end', channel: state.channel }] : []
    this.#last = channel
    this.isNeighbour = true
    this.state = { status: 'up', connection, channel }
    return [...replaced, { type: 'up', channel, met }, ...this.#moveToBest()]
  }

  #onEnded (channel: number): ChannelEffect[] {
    const { state } = this

    if (state.status === 'up' && state.opening === channel) {
      this.state = { ...state, opening: undefined }
      return [{ type: 'retry-later' }]
    }
    if (state.status === 'up' && state.channel === channel) {
      const { opening } = state
      // a channel that is being opened already takes its place: it need not be opened twice
      this.state = opening == null ? { status: 'waiting' } : { status: 'opening', opening }
      return [...opening == null ? this.#retryLater() : [], { type: 'lost-later' }]
    }
    if (state.status === 'opening' && state.opening === channel) {
      this.state = { status: 'waiting' }
      return this.#retryLater()
    }

    return []
  }

  #retryLater (): ChannelEffect[] {
    return this.#isOpener ? [{ type: 'retry-later' }] : []
  }

  /** A peer that comes back is told everything anew: what was on its way in this life is lost */
  #down (): ChannelEffect[] {
    const wasNeighbour = this.isNeighbour
    this.isNeighbour = false
    this.#flight.renew()
    return wasNeighbour ? [{ type: 'down' }] : []
  }

  #onRetry (): ChannelEffect[] {
    return this.state.status === 'waiting' && this.#isOpener ? this.#open() : this.#moveToBest()
  }

  #onLost (): ChannelEffect[] {
    return this.state.status === 'up' ? [] : [...this.#down(), ...this.#endAll()]
  }

  #onRestart (): ChannelEffect[] {
    this.#flight.renew()
    return this.#endAll()
  }

  /** A channel whose hello told of an earlier life is of no use, be it up or on its way */
  #endAll (): ChannelEffect[] {
    const { channel, opening } = { channel: undefined, opening: undefined, ...this.state }
    return [channel, opening].filter(number => number != null).map(channel => ({ type: 'end', channel }))
  }

  #moveToBest (): ChannelEffect[] {
    const { state } = this
    const mayMove = this.#isOpener && state.status === 'up' && state.opening == null && this.#best !== state.connection
    return mayMove ? this.#openOnBest(opening => ({ ...state, opening })) : []
  }

  #open (): ChannelEffect[] {
    this.state = { status: 'waiting' }
    return this.#isOpener ? this.#openOnBest(opening => ({ status: 'opening', opening })) : []
  }

  #openOnBest (state: (opening: number) => ChannelState): ChannelEffect[] {
    if (this.#best == null) {
      return []
    }

    const channel = ++this.#last
    this.state = state(channel)
    return [{ type: 'open', channel, connection: this.#best }]
  }
}
