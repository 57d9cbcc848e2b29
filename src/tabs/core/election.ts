import { ASKS, LEASE, PATIENCE, REST, START_PATIENCE, STOP_PATIENCE } from '../constants.ts'

/** One time that a tab leads: its tab, and a number that grows in that tab */
export interface Reign {
  leader: string
  term: number
}

export type State =
  /**
   * `reign`: who leads, as far as is known. `unanswered`: since when nobody answers, and to how many questions.
   * `restUntil`: others are to lead
   */
  | { type: 'following', reign?: Reign, unanswered?: { since: number, asks: number }, restUntil?: number }
  /** The shell looks whether the leader is still the one that does not answer, and takes the lock from it */
  | { type: 'seizing', reign?: Reign, since: number }
  /** The lock is ours, by force: the one before may write until its lease is over */
  | { type: 'waiting', term: number, until: number }
  | { type: 'opening', term: number, since: number }
  | { type: 'leading', term: number }
  /** The node is being stopped. Then `next` */
  | { type: 'releasing', next: 'follow' | 'rest' | 'end', until: number }
  | { type: 'stopped' }

export type Event =
  | { type: 'start' }
  /** What the locks say: nobody, or whose reign it is */
  | { type: 'found', reign?: Reign }
  | { type: 'announced', reign: Reign }
  | { type: 'resigned', reign: Reign }
  | { type: 'answered', reign: Reign }
  | { type: 'tick' }
  | { type: 'granted', isForced: boolean }
  /** To seize the lead was refused: somebody else has it by now */
  | { type: 'refused', reign?: Reign }
  /** Somebody took the lock from us */
  | { type: 'lost' }
  | { type: 'opened' }
  | { type: 'failed' }
  | { type: 'released' }
  | { type: 'stop' }

export type Effect =
  /** Wait for the lock, in its queue */
  | { type: 'request' }
  | { type: 'look' }
  | { type: 'ping', reign: Reign }
  /** `isForced`: another tab that was about to do so stands still */
  | { type: 'seize', from?: Reign, isForced: boolean }
  | { type: 'announce', reign: Reign }
  /** Open the store, make the node */
  | { type: 'open', reign: Reign }
  /** Silence the node and stop it. `isFenced`: not one write more */
  | { type: 'let-go', isFenced: boolean }
  /** Give the lock back, if it is ours, or end to wait for it */
  | { type: 'release' }

/**
 * Who leads. What decides is a lock of the browser; the core says when a tab asks for it, when it takes it from one
 * that stands still, and when it has to let go.
 *
 * | state     | event                      | next                                                        |
 * |-----------|----------------------------|-------------------------------------------------------------|
 * | following | granted                    | opening; waiting, if by force                               |
 * |           | tick, no answer for long   | seizing                                                     |
 * |           | found, announced, answered | following that one                                          |
 * | seizing   | granted / refused          | waiting / following                                         |
 * |           | tick, for too long         | the same, by force                                          |
 * | waiting   | tick, the lease is over    | opening                                                     |
 * | opening   | opened / failed, tick      | leading / releasing, then rest                              |
 * | leading   | lost                       | releasing, then follow                                      |
 * | any       | stop                       | releasing, then end; stopped at once where there is no node |
 * | releasing | released, tick             | following; stopped                                          |
 *
 * Invariants: a node is opened only while the lock is ours (E1). Who has lost the lock lets go, fenced, in the same
 * step (E2). A leader that does not answer for PATIENCE is not waited for any longer (E3). A tab that stood still
 * itself asks once more before it takes the lead (E4). Nobody opens a store within LEASE of taking it by force (E5).
 */
export class Election {
  readonly #me: string
  #state: State = { type: 'following' }
  #term = 0

  constructor (me: string) {
    this.#me = me
  }

  get state (): State {
    return this.#state
  }

  /** Who leads, as far as this tab knows */
  get reign (): Reign | undefined {
    switch (this.#state.type) {
      case 'following':
        return this.#state.reign
      case 'waiting':
      case 'opening':
      case 'leading':
        return { leader: this.#me, term: this.#state.term }
      case 'seizing':
      case 'releasing':
      case 'stopped':
        return undefined
    }
  }

  handle (event: Event, now: number): Effect[] {
    const state = this.#state

    switch (event.type) {
      case 'start':
        return [{ type: 'request' }, { type: 'look' }]
      case 'tick':
        return this.#tick(now)
      case 'granted':
        return this.#granted(event.isForced, now)
      case 'lost':
        return this.#lost(now)
      case 'stop':
        return this.#stop(now)
      case 'found':
      case 'announced':
        return this.#follow(event.reign)
      case 'refused':
        if (state.type === 'seizing') {
          this.#state = { type: 'following', reign: event.reign }
          return [{ type: 'request' }]
        }
        return []
      case 'answered':
      case 'resigned':
        return isSame(this.reign, event.reign) ? this.#heard(event.type) : []
      case 'opened':
        if (state.type === 'opening') {
          this.#state = { type: 'leading', term: state.term }
        }
        return []
      case 'failed':
        return state.type === 'opening' ? this.#release('rest', false, now) : []
      case 'released':
        return state.type === 'releasing' ? this.#released(state.next, now) : []
    }
  }

  #tick (now: number): Effect[] {
    const state = this.#state

    switch (state.type) {
      case 'following': {
        const isRested = state.restUntil != null && now >= state.restUntil
        const { since, asks } = (isRested ? undefined : state.unanswered) ?? { since: now, asks: 0 }

        if (state.restUntil == null && asks >= ASKS && now - since >= PATIENCE) {
          this.#state = { type: 'seizing', reign: state.reign, since: now }
          return [{ type: 'seize', from: state.reign, isForced: false }]
        }

        state.unanswered = { since, asks: asks + 1 }
        const asking: Effect = state.reign == null ? { type: 'look' } : { type: 'ping', reign: state.reign }

        if (isRested) {
          state.restUntil = undefined
          return [asking, { type: 'request' }]
        }
        return [asking]
      }
      case 'waiting':
        return now >= state.until ? this.#open(state.term, now) : []
      case 'opening':
        return now - state.since >= START_PATIENCE ? this.#release('rest', false, now) : []
      case 'releasing':
        return now >= state.until ? [{ type: 'let-go', isFenced: true }, ...this.#released(state.next, now)] : []
      case 'seizing':
        if (now - state.since < PATIENCE) {
          return []
        }
        state.since = now
        return [{ type: 'seize', from: state.reign, isForced: true }]
      case 'leading':
      case 'stopped':
        return []
    }
  }

  #granted (isForced: boolean, now: number): Effect[] {
    const state = this.#state

    if (state.type !== 'following' && state.type !== 'seizing') {
      // we have stopped meanwhile
      return [{ type: 'release' }]
    }

    const term = ++this.#term
    const announce: Effect = { type: 'announce', reign: { leader: this.#me, term } }

    if (isForced) {
      this.#state = { type: 'waiting', term, until: now + LEASE }
      return [announce]
    }

    return [announce, ...this.#open(term, now)]
  }

  #open (term: number, now: number): Effect[] {
    this.#state = { type: 'opening', term, since: now }
    return [{ type: 'open', reign: { leader: this.#me, term } }]
  }

  #lost (now: number): Effect[] {
    switch (this.#state.type) {
      case 'waiting':
        this.#state = { type: 'following' }
        return [{ type: 'request' }, { type: 'look' }]
      case 'opening':
      case 'leading':
        return this.#release('follow', true, now)
      case 'releasing':
        return [{ type: 'let-go', isFenced: true }]
      case 'following':
      case 'seizing':
      case 'stopped':
        return []
    }
  }

  #stop (now: number): Effect[] {
    const state = this.#state

    switch (state.type) {
      case 'opening':
      case 'leading':
        return this.#release('end', false, now)
      case 'releasing':
        state.next = 'end'
        return []
      case 'following':
      case 'seizing':
      case 'waiting':
        this.#state = { type: 'stopped' }
        return [{ type: 'release' }]
      case 'stopped':
        return []
    }
  }

  #release (next: 'follow' | 'rest' | 'end', isFenced: boolean, now: number): Effect[] {
    this.#state = { type: 'releasing', next, until: now + STOP_PATIENCE }
    return [{ type: 'let-go', isFenced }]
  }

  #released (next: 'follow' | 'rest' | 'end', now: number): Effect[] {
    switch (next) {
      case 'end':
        this.#state = { type: 'stopped' }
        return [{ type: 'release' }]
      case 'rest':
        this.#state = { type: 'following', restUntil: now + REST }
        return [{ type: 'release' }]
      case 'follow':
        this.#state = { type: 'following' }
        return [{ type: 'release' }, { type: 'request' }, { type: 'look' }]
    }
  }

  /** The leader that this tab follows is there, or leads no more */
  #heard (what: 'answered' | 'resigned'): Effect[] {
    const state = this.#state

    if (state.type !== 'following') {
      return []
    }

    state.unanswered = undefined

    if (what === 'resigned') {
      state.reign = undefined
      return [{ type: 'look' }]
    }
    return []
  }

  #follow (reign?: Reign): Effect[] {
    const state = this.#state

    if (state.type === 'following' && reign != null && reign.leader !== this.#me && !isSame(state.reign, reign)) {
      this.#state = { ...state, reign, unanswered: undefined }
    }

    return []
  }
}

export function isSame (a?: Reign, b?: Reign): boolean {
  return a?.leader === b?.leader && a?.term === b?.term
}
