import { Membership } from '../../../src/replication/core/membership.ts'
import { Wiring } from './wiring.ts'
import type { Document } from '../../../src/replication/core/info.ts'
import type { MembershipEffect, MembershipInit } from '../../../src/replication/core/membership.ts'
import type { Key } from '../../../src/replication/core/types.ts'

/** A shell as it should be, around a core that has a bug */
export class Around extends Wiring {
  readonly #core: new (init: MembershipInit) => Membership

  constructor (core: new (init: MembershipInit) => Membership) {
    super()
    this.#core = core
  }

  override create (init: MembershipInit): Membership {
    return new this.#core(init)
  }
}

export class JoinsAtOpen extends Membership {
  override open (now: number): MembershipEffect[] {
    const effects = super.open(now)
    const again = [...this.replicators()].map(({ peer, segments }): MembershipEffect => ({ type: 'join', peer, segments }))
    return [...effects, ...again]
  }
}

export class NeverCloses extends Membership {
  override close (): void {}
}

/** A deadline that was set when it was lost ends what it does after it came back */
export class KeepsDeadlines extends Membership {
  readonly #deadlines = new Map<Key, number>()
  readonly #grace: number

  constructor (init: MembershipInit) {
    super(init)
    this.#grace = init.grace
  }

  override absent (key: Key, isSaid: boolean, now: number): MembershipEffect[] {
    this.#deadlines.set(key, now + this.#grace)
    return super.absent(key, isSaid, now)
  }

  override nextWake (): number {
    return Math.min(super.nextWake(), ...this.#deadlines.values())
  }

  override wake (now: number): MembershipEffect[] {
    const due = [...this.#deadlines].filter(([, at]) => at <= now).map(([key]) => key)
    due.forEach(key => this.#deadlines.delete(key))
    return [...super.wake(now), ...due.flatMap(key => super.absent(key, true, now))]
  }
}

export class MaturesAgain extends Membership {
  override wake (now: number): MembershipEffect[] {
    const effects = super.wake(now)
    const again = [...this.replicators()].filter(({ isMature }) => isMature).map(({ peer, segments }): MembershipEffect => ({ type: 'mature', peer, segments }))
    return [...effects, ...again]
  }
}

export class ChangesToTheSame extends Membership {
  override receive (document: Document, isAccepted: boolean, now: number): MembershipEffect[] {
    const effects = super.receive(document, isAccepted, now)
    const known = [...this.replicators()].find(({ peer }) => peer === document.owner)
    return known == null || effects.length > 0 ? effects : [{ type: 'change', peer: document.owner, segments: known.segments }]
  }
}

/** Who speaks is taken to be here */
export class HearsIsHere extends Membership {
  override receive (document: Document, isAccepted: boolean, now: number): MembershipEffect[] {
    return [...this.present(document.owner, now), ...super.receive(document, isAccepted, now)]
  }
}

export class RememberedIsHere extends Membership {
  override remember (document: Document, isAccepted: boolean, now: number): MembershipEffect[] {
    return [...super.remember(document, isAccepted, now), ...this.present(document.owner, now)]
  }
}

export class LivesAreOne extends Membership {
  override receive (document: Document, isAccepted: boolean, now: number): MembershipEffect[] {
    return super.receive({ ...document, epoch: 1 }, isAccepted, now)
  }
}

export class NeverWakes extends Membership {
  override nextWake (): number {
    return Infinity
  }
}

/** While we open nobody is missed */
export class MissesNobodyWhileOpening extends Membership {
  override absent (key: Key, isSaid: boolean, now: number): MembershipEffect[] {
    return this.status === 'opening' ? [] : super.absent(key, isSaid, now)
  }
}

export class NoBounds extends Membership {
  constructor (init: MembershipInit) {
    super({ ...init, maxPeers: Infinity, maxBytes: Infinity })
  }
}
