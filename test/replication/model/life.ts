import type { Wiring } from './wiring.ts'
import type { Document } from '../../../src/replication/core/info.ts'
import type { Membership, MembershipEffect, MembershipInit } from '../../../src/replication/core/membership.ts'
import type { Key } from '../../../src/replication/core/types.ts'

export interface Calls {
  receive: [document: Document, isAccepted: boolean]
  remember: [document: Document, isAccepted: boolean]
  present: [owner: Key]
  absent: [owner: Key, isSaid: boolean]
  open: []
  wake: []
  close: []
}

export type Call = { [name in keyof Calls]: { name: name, args: Calls[name], now: number } }[keyof Calls]

function make (core: Membership, call: Call): MembershipEffect[] {
  switch (call.name) {
    case 'receive':
    case 'remember':
      return core[call.name](call.args[0], call.args[1], call.now)
    case 'present':
      return core.present(call.args[0], call.now)
    case 'absent':
      return core.absent(call.args[0], call.args[1], call.now)
    case 'open':
    case 'wake':
      return core[call.name](call.now)
    case 'close':
      core.close()
      return []
  }
}

/** One life of a core. It cannot be copied: a copy is another one to which the same happened */
export class Life {
  readonly #wiring: Wiring
  readonly #init: MembershipInit
  readonly #calls: Call[]
  #core?: Membership

  constructor (wiring: Wiring, init: MembershipInit, calls: Call[] = []) {
    this.#wiring = wiring
    this.#init = init
    this.#calls = calls
  }

  get core (): Membership {
    if (this.#core == null) {
      this.#core = this.#wiring.create(this.#init)

      for (const call of this.#calls) {
        make(this.#core, call)
      }
    }

    return this.#core
  }

  call (call: Call): MembershipEffect[] {
    const effects = make(this.core, call)
    this.#calls.push(call)
    return effects
  }

  copy (): Life {
    return new Life(this.#wiring, this.#init, [...this.#calls])
  }
}
