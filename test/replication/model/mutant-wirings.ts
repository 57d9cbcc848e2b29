import { isNewer } from '../../../src/replication/core/info.ts'
import { Wiring } from './wiring.ts'
import type { Turn, World } from './world.ts'
import type { Document } from '../../../src/replication/core/info.ts'
import type { MembershipEffect } from '../../../src/replication/core/membership.ts'
import type { Key } from '../../../src/replication/core/types.ts'

/** As if nobody asked whether it is news: it says of itself that it is */
function force (world: World, document: Document, isAccepted: boolean): void {
  const info = world.life.core.infoOf(document.owner)
  const forced = info == null ? document : { ...document, epoch: info.epoch, sequence: info.sequence + 1 }
  world.call(world.life, 'receive', forced, isAccepted)
}

function isStop (document: Document): boolean {
  return document.segments.length === 0
}

/** What comes while we open waits, and is applied when we are open */
class Pending extends Wiring {
  override apply (world: World, turn: Turn, isAccepted: boolean): void {
    if (world.status === 'opening') {
      this.keep(world, turn.document, isAccepted)
    } else {
      super.apply(world, turn, isAccepted)
    }
  }

  override opened (world: World): void {
    super.opened(world)

    for (const owner of world.owners) {
      const documents = world.notes[owner] ?? []
      world.notes[owner] = []
      documents.forEach(document => { this.drain(world, document, world.verdict(owner, document) !== false) })
    }
  }

  override closed (world: World): void {
    super.closed(world)
    world.notes = {}
  }

  keep (world: World, document: Document, _isAccepted: boolean): void {
    (world.notes[document.owner] ??= []).push(document)
  }

  drain (world: World, document: Document, isAccepted: boolean): void {
    world.call(world.life, 'receive', document, isAccepted)
  }
}

export class AskedBeforeTheTurn extends Wiring {
  override arrived (world: World, turn: Turn): void {
    const info = turn.life.core.infoOf(turn.document.owner)

    if (info == null || isNewer(turn.document, info)) {
      super.arrived(world, turn)
    }
  }

  override apply (world: World, { document, life }: Turn, isAccepted: boolean): void {
    life === world.life && force(world, document, isAccepted)
  }
}

export class LastOnly extends Pending {
  override keep (world: World, document: Document): void {
    world.notes[document.owner] = [document]
  }
}

export class DrainedBeside extends Pending {
  override drain (world: World, document: Document, isAccepted: boolean): void {
    force(world, document, isAccepted)
  }
}

export class StopLeavesPending extends DrainedBeside {
  override keep (world: World, document: Document, isAccepted: boolean): void {
    if (isStop(document)) {
      world.call(world.life, 'receive', document, isAccepted)
    } else {
      super.keep(world, document, isAccepted)
    }
  }
}

export class PendingOutlivesClose extends Pending {
  override closed (world: World): void {
    world.call(world.life, 'close')
  }
}

export class WatermarkFirst extends Wiring {
  override arrived (world: World, turn: Turn): void {
    const { document } = turn
    const [watermark] = world.notes[document.owner] ?? []

    if (watermark == null || isNewer(document, watermark)) {
      world.notes[document.owner] = [document]
      super.arrived(world, turn)
    }
  }
}

export class LateTurns extends Wiring {
  override apply (world: World, { document }: Turn, isAccepted: boolean): void {
    world.status !== 'none' && world.call(world.life, 'receive', document, isAccepted)
  }
}

export class OneForAll extends Wiring {
  override mailbox (): Key {
    return 'all'
  }
}

export class FailsTogether extends Wiring {
  override failed (world: World, { document }: Turn): void {
    world.turns.delete(document.owner)
  }
}

export class LeavesInItsTurn extends Wiring {
  override presence (world: World, owner: Key, isOn: boolean, isSaid: boolean): void {
    if (isOn || world.waiting(owner).length === 0) {
      super.presence(world, owner, isOn, isSaid)
    }
  }

  override apply (world: World, turn: Turn, isAccepted: boolean): void {
    super.apply(world, turn, isAccepted)
    const { owner } = turn.document
    turn.life === world.life && !world.on[owner] && super.presence(world, owner, false, world.hasSaidOff[owner])
  }
}

export class NoSnapshot extends Wiring {
  override snapshot (): void {}
}

export class AcceptsAll extends Wiring {
  override apply (world: World, turn: Turn): void {
    super.apply(world, turn, true)
  }
}

export class LastSupersedes extends Wiring {
  override isBetter (): boolean {
    return true
  }
}

export class StoredWins extends Wiring {
  override remember (world: World, document: Document, isAccepted: boolean): void {
    force(world, document, isAccepted)
  }
}

export class AnyLeaveIsALoss extends Wiring {
  override presence (world: World, owner: Key, isOn: boolean): void {
    super.presence(world, owner, isOn, false)
  }
}

export class DroppedInBetween extends Wiring {
  override apply (world: World, turn: Turn, isAccepted: boolean): void {
    world.status === 'open' && super.apply(world, turn, isAccepted)
  }
}

export class Loses extends Wiring {
  readonly #isLost: (effect: MembershipEffect) => boolean

  constructor (isLost: (effect: MembershipEffect) => boolean) {
    super()
    this.#isLost = isLost
  }

  override effects (effects: MembershipEffect[]): MembershipEffect[] {
    return effects.filter(effect => !this.#isLost(effect))
  }
}
