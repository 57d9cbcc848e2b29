/**
 * Which streams a link runs on. A pure reducer: `step(state, event)` gives the next state and what to do.
 *
 * Of two neighbours the one with the smaller id opens the streams, always and on whichever connection it likes best, so
 * that simultaneous dials, restarts and better connections can never leave two pairs that the two sides disagree on: the
 * opener's newest session is the session. A session is a pair of streams, control and data; when one of them ends, both do.
 *
 * | event      | down           | opening             | waiting        | up                                   |
 * |------------|----------------|---------------------|----------------|--------------------------------------|
 * | connection | -> opening     | (on failure: it)    | -> opening     | better one: open there, stay up       |
 * | no more    | -              | -> down             | -> down        | -> down, told upwards once            |
 * | opened     | end it         | -> up               | end it         | the new one replaces the old, which ends in its own time |
 * | ended      | -              | -> waiting (backoff)| -              | -> waiting (backoff), still a neighbour; -> opening if a better one is on its way |
 * | retry      | -              | -                   | -> opening     | open on the better connection again  |
 * | lost       | -              | no neighbour now, told upwards once  ||| -                                   |
 *
 * The other side does not open: where the opener is `opening` or `waiting`, it is `waiting` for the opener.
 */
export type SessionState =
  | { status: 'down' }
  | { status: 'opening', opening: number }
  | { status: 'waiting' }
  | { status: 'up', connection: string, session: number, opening?: number }

export type SessionEvent =
  /** The best connection to this neighbour is now this one; none: the last is gone */
  | { type: 'connections', best?: string }
  /** A session has said hello both ways */
  | { type: 'opened', session: number, connection: string }
  /** A session ended, or could not be opened */
  | { type: 'ended', session: number }
  | { type: 'retry' }
  /** It has been without a session for too long */
  | { type: 'lost' }

export type SessionEffect =
  | { type: 'open', session: number, connection: string }
  /** Let it write what it has, then end it */
  | { type: 'retire', session: number }
  | { type: 'up', session: number }
  /** End all sessions at once */
  | { type: 'close' }
  /** It is no neighbour any more. Only after an 'up', and once for all of them */
  | { type: 'down' }
  | { type: 'retry-later' }
  | { type: 'lost-later' }

export class Sessions {
  readonly #isOpener: boolean
  #best?: string
  #last = 0
  #isNeighbour = false
  state: SessionState = { status: 'down' }

  constructor (isOpener: boolean) {
    this.#isOpener = isOpener
  }

  handle (event: SessionEvent): SessionEffect[] {
    switch (event.type) {
      case 'connections': return this.#onConnections(event.best)
      case 'opened': return this.#onOpened(event.session, event.connection)
      case 'ended': return this.#onEnded(event.session)
      case 'retry': return this.#onRetry()
      case 'lost': return this.state.status === 'up' ? [] : this.#down()
    }
  }

  #onConnections (best?: string): SessionEffect[] {
    const before = this.state
    this.#best = best

    if (best == null) {
      this.state = { status: 'down' }
      return before.status === 'down' ? [] : [{ type: 'close' }, ...this.#down()]
    }
    if (before.status === 'down' || (before.status === 'waiting' && this.#isOpener)) {
      return this.#open()
    }

    return this.#moveToBest()
  }

  #onOpened (session: number, connection: string): SessionEffect[] {
    const { state } = this

    if (state.status === 'down' || (this.#isOpener && !('opening' in state && state.opening === session))) {
      return [{ type: 'retire', session }]
    }

    const replaced: SessionEffect[] = state.status === 'up' ? [{ type: 'retire', session: state.session }] : []
    this.state = { status: 'up', connection, session }
    this.#isNeighbour = true
    return [...replaced, { type: 'up', session }, ...this.#moveToBest()]
  }

  #onEnded (session: number): SessionEffect[] {
    const { state } = this

    if (state.status === 'up' && state.opening === session) {
      this.state = { ...state, opening: undefined }
      return [{ type: 'retry-later' }]
    }
    if (state.status === 'up' && state.session === session) {
      return [...this.#afterSession(state.opening), { type: 'lost-later' }]
    }
    if (state.status === 'opening' && state.opening === session) {
      return this.#afterSession()
    }

    return []
  }

  /** A session that is being opened already takes the place of the one that ended: it need not be opened twice */
  #afterSession (opening?: number): SessionEffect[] {
    if (opening != null) {
      this.state = { status: 'opening', opening }
      return []
    }

    this.state = { status: 'waiting' }
    return this.#isOpener ? [{ type: 'retry-later' }] : []
  }

  #down (): SessionEffect[] {
    const wasNeighbour = this.#isNeighbour
    this.#isNeighbour = false
    return wasNeighbour ? [{ type: 'down' }] : []
  }

  #onRetry (): SessionEffect[] {
    return this.state.status === 'waiting' && this.#isOpener ? this.#open() : this.#moveToBest()
  }

  #moveToBest (): SessionEffect[] {
    const { state } = this

    if (!this.#isOpener || state.status !== 'up' || state.opening != null || this.#best == null || this.#best === state.connection) {
      return []
    }

    const session = ++this.#last
    this.state = { ...state, opening: session }
    return [{ type: 'open', session, connection: this.#best }]
  }

  #open (): SessionEffect[] {
    if (!this.#isOpener || this.#best == null) {
      this.state = { status: 'waiting' }
      return []
    }

    const session = ++this.#last
    this.state = { status: 'opening', opening: session }
    return [{ type: 'open', session, connection: this.#best }]
  }
}
