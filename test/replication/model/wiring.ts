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

  /** A document has come, and waits for its turn */
  arrived (world: World, turn: Turn): void {
    world.queue(this.mailbox(turn.document), turn)
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
