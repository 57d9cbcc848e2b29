import { Backoff } from '../runtime/backoff.ts'
import * as limits from './constants.ts'
import { RateWindow, RoundTrip } from './core/window.ts'
import type { Context } from './context.ts'
import type { WindowController } from './core/window.ts'
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

/** One peer that transfers go to: they take turns, and together have no more in flight than it deals with */
export class Destination {
  readonly key: string
  readonly peer: string
  readonly port: Port
  readonly window: WindowController = new RateWindow()
  readonly roundTrip = new RoundTrip()
  readonly #peerId: PeerId
  readonly #context: Context
  readonly #backoff: Backoff
  /** The one whose turn is next at the beginning */
  readonly #transfers = new Set<Outbound>()
  #pausedUntil = -Infinity
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

  /** When to pump again: it could not be sent to */
  get nextAt (): number {
    return this.#pausedUntil > this.#context.clock.now() && this.#transfers.size > 0 ? this.#pausedUntil : Infinity
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
  }

  /** Something could not be sent: all wait a little, longer each time */
  pause (): void {
    const now = this.#context.clock.now()

    if (this.#pausedUntil <= now) {
      this.#pausedUntil = now + this.#backoff.next()
      this.#context.arm()
    }
  }

  /** There is a way to it */
  present (): void {
    this.#pausedUntil = -Infinity
    this.#backoff.reset()
    this.#transfers.forEach(transfer => { transfer.present() })
    this.pump()
  }

  /** There is none: what is on its way does not arrive */
  absent (): void {
    const { flight } = this.#context

    for (const { id: fragment, owner, bytes } of flight.dropLink(this.key)) {
      this.window.discarded(bytes)
      ;[...this.#transfers].find(transfer => transfer.owns(owner))?.lost(fragment)
    }

    this.#pausedUntil = this.#context.clock.now() + limits.RETRY_CAP
    this.#context.arm()
  }

  /** Sends, a piece of each in turn, what the window allows */
  pump (): void {
    const { clock, flight } = this.#context

    if (this.#isPumping || this.#pausedUntil > clock.now()) {
      return
    }

    this.#isPumping = true

    for (let transfer = this.#next(); transfer != null; transfer = this.#next()) {
      const fragment = transfer.peek()

      if (fragment == null) {
        break
      }

      const bytes = fragment.to - fragment.from
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

  #next (): Outbound | undefined {
    for (const transfer of this.#transfers) {
      if (transfer.peek() != null) {
        return transfer
      }
    }
  }
}
