import { isNewer } from '../../../src/replication/core/info.ts'
import { Membership } from '../../../src/replication/core/membership.ts'
import type { Turn, World } from './world.ts'
import type { Document } from '../../../src/replication/core/info.ts'
import type { MembershipEffect, MembershipInit } from '../../../src/replication/core/membership.ts'
import type { Key } from '../../../src/replication/core/types.ts'

/**
 * How a shell uses the core. It has no state of its own: a bug on purpose is another wiring, and what that has to remember is in
 * `world.notes`, for each owner.
 */
export class Wiring {
  create (init: MembershipInit): Membership {
    return new Membership(init)
  }

  /** Whose turn it is in */
  mailbox (document: Document): Key {
    return document.owner
  }

  /** A document has come, and is true. Of those that wait for their turn the newest stays */
  arrived (world: World, turn: Turn): void {
    const { document, life } = turn
    const key = this.mailbox(document)
    const waiting = (world.turns.get(key) ?? []).slice(1)
    const at = waiting.findIndex(other => other.document.owner === document.owner)

    if (life.core.isNews(document)) {
      if (document.segments.length === 0) {
        this.apply(world, turn, true)
      } else if (at === -1) {
        world.queue(key, turn)
      } else if (this.isBetter(document, waiting[at].document)) {
        world.turns.set(key, (world.turns.get(key) ?? []).with(1 + at, turn))
      }
    }
  }

  isBetter (document: Document, waiting: Document): boolean {
    return isNewer(document, waiting)
  }

  /** All is awaited: from here on it is one step */
  apply (world: World, turn: Turn, isAccepted: boolean): void {
    world.call(turn.life, 'receive', turn.document, isAccepted)
  }

  /** What was stored in an earlier life */
  remember (world: World, document: Document, isAccepted: boolean): void {
    world.call(world.life, 'remember', document, isAccepted)
  }

  failed (_world: World, _turn: Turn): void {}

  presence (world: World, owner: Key, isOn: boolean, isSaid: boolean): void {
    if (isOn) {
      world.call(world.life, 'present', owner)
    } else {
      world.call(world.life, 'absent', owner, isSaid)
    }
  }

  opened (world: World): void {
    this.snapshot(world)
    world.call(world.life, 'open')
  }

  snapshot (world: World): void {
    world.owners.filter(owner => world.on[owner]).forEach(owner => { world.call(world.life, 'present', owner) })
  }

  closed (world: World): void {
    world.call(world.life, 'close')
  }

  /** What becomes of effects before they are run */
  effects (effects: MembershipEffect[]): MembershipEffect[] {
    return effects
  }
}
