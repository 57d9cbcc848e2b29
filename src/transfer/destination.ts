import { Backoff } from '../runtime/backoff.ts'
import * as limits from './constants.ts'
import { weightOf } from './core/outgoing.ts'
import { RateWindow, RoundTrip } from './core/window.ts'
import type { Context } from './context.ts'
import type { Outbound } from './outbound.ts'
import type { Lane, Port } from './port.ts'
import type { Random } from '../runtime/random.ts'
import type { PeerId } from '@libp2p/interface'

export interface DestinationInit {
  key: string
  peer: string
  peerId: PeerId
  port: Port
  context: Context
  random: Random
}

/**
 * One peer that transfers go to: they take turns, and together have no more in flight than it deals with. When
 * something did not reach the peer, the transfers send nothing but questions until it answers: it may have been started
 * anew, or have what was on its way.
 */
export class Destination {
  readonly key: string
  readonly peer: string
  readonly port: Port
  readonly window = new RateWindow()
  readonly roundTrip = new RoundTrip()
  readonly #peerId: PeerId
  readonly #context: Context
  readonly #backoff: Backoff
  /** The one whose turn is next at the beginning */
  readonly #transfers = new Set<Outbound>()
  /** Something did not reach it. When to ask where it stands */
  #doubt?: { askAt: number }
  #isPumping = false

  constructor ({ key, peer, peerId, port, context, random }: DestinationInit) {
    this.key = key
    this.peer = peer
    this.port = port
    this.#peerId = peerId
    this.#context = context
    this.#backoff = new Backoff({ first: limits.RETRY_FIRST, cap: limits.RETRY_CAP, random })
  }

  get isIdle (): boolean {
    return this.#transfers.size === 0
  }

  /** When to ask */
  get nextAt (): number {
    return this.#transfers.size > 0 ? this.#doubt?.askAt ?? Infinity : Infinity
  }

  add (transfer: Outbound): void {
    this.#transfers.add(transfer)
  }

  remove (transfer: Outbound): void {
    this.#transfers.delete(transfer)
  }

  arm (): void {
    this.#context.arm()
  }

  heard (): void {
    this.roundTrip.heard()
    this.#backoff.reset()
    this.#doubt = undefined
  }

  /** Something could not be sent: the transfers ask soon, and then less and less often */
  failed (): void {
    if (this.#doubt == null) {
      this.#doubt = { askAt: this.#context.clock.now() + this.#backoff.next() }
      this.#context.arm()
    }
  }

  /** There is a way to it */
  present (): void {
    this.#backoff.reset()
    this.#ask()
    this.pump()
  }

  /** There is none: what is on its way does not arrive */
  absent (): void {
    const { flight } = this.#context

    for (const { id: fragment, owner, bytes } of flight.dropLink(this.key)) {
      this.window.discarded(bytes)
      ;[...this.#transfers].find(transfer => transfer.owns(owner))?.lost(fragment)
    }

    this.#doubt = { askAt: this.#context.clock.now() + limits.RETRY_CAP }
    this.#context.arm()
  }

  /** Sends, a piece of each in turn, what the window allows */
  pump (): void {
    const { clock, flight } = this.#context

    if (this.#isPumping) {
      return
    }
    if (this.#doubt != null) {
      clock.now() >= this.#doubt.askAt && this.#ask()
      return
    }

    this.#isPumping = true

    for (let transfer = this.#next(); transfer != null; transfer = this.#next()) {
      const fragment = transfer.peek()

      if (fragment == null) {
        break
      }

      const bytes = weightOf(fragment)
      const inFlight = flight.bytesOn(this.key)
      const isCounted = flight.get(fragment) != null
      const isFull = inFlight + bytes > this.window.bytes || flight.bytes + bytes > limits.NODE_FLIGHT

      // what is in flight is answered: then the rest goes
      if (!isCounted && inFlight > 0 && isFull) {
        this.window.limited()
        break
      }

      // to the end: the others are first now
      this.#transfers.delete(transfer)
      this.#transfers.add(transfer)
      transfer.send(fragment)
    }

    this.#transfers.forEach(transfer => { transfer.tellEnd() })
    this.#isPumping = false
    this.#context.arm()
  }

  async transmit (message: Uint8Array, lane: Lane): Promise<void> {
    await this.port.send(this.#peerId, message, lane)
  }

  #ask (): void {
    if (this.#doubt != null) {
      this.#doubt.askAt = this.#context.clock.now() + this.#backoff.next()
    }

    this.#transfers.forEach(transfer => { transfer.ask() })
    this.#context.arm()
  }

  #next (): Outbound | undefined {
    for (const transfer of this.#transfers) {
      if (transfer.peek() != null) {
        return transfer
      }
    }
  }
}
