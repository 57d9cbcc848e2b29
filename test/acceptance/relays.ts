import { once } from 'node:events'
import { createServer } from 'node:net'
import { generateKeyPair, privateKeyToProtobuf } from '@libp2p/crypto/keys'
import { toString } from 'uint8arrays/to-string'
import { Program } from '../fixtures/processes.ts'
import { until } from './until.ts'
import type { AddressInfo } from 'node:net'

/** What passes a relay when two agree on a new key: the last one is the first message under it */
export const PHASES = ['propose', 'accept', 'confirm', 'data'] as const
export type Phase = typeof PHASES[number]

/** For the title of a test */
export function nameOf (phase: Phase): string {
  return phase === 'data' ? 'the first message under it' : `the ${phase[0].toUpperCase()}${phase.slice(1)}`
}

/**
 * What a relay does when it sees such a frame, before that goes on: 'lose' loses it, and all connections; 'die' is a
 * kill -9; 'tell' says so only
 */
export interface Trip {
  phase: Phase
  how: 'lose' | 'die' | 'tell'
}

export interface RelayInit {
  privateKey: string
  port: number
}

export type RelayOrder =
  /** Whether what it could read contains this text */
  | { type: 'find', text: string }
  | { type: 'trip', trip: Trip }

export type RelayNews =
  | { type: 'ready', peerId: string }
  | { type: 'found', text: string, bytes: number, count: number }
  | { type: 'armed' }
  | { type: 'tripped', phase: Phase }

const running = new Set<Relay>()

/** For an `afterEach` */
export async function killRelays (): Promise<void> {
  await Promise.all([...running].map(async relay => relay.kill()))
}

/** A relay in a process of its own */
export class Relay {
  peerId = ''
  readonly #init: RelayInit
  readonly #program: Program
  #armed = 0
  #tripped = 0
  #found = new Map<string, { bytes: number, count: number }>()
  #isGone = false

  static async start (init: Partial<RelayInit> = {}): Promise<Relay> {
    const privateKey = init.privateKey ??
      toString(privateKeyToProtobuf(await generateKeyPair('Ed25519')), 'base64url')
    const relay = new Relay({ port: init.port ?? await freePort(), privateKey })
    await until(() => `a relay starts: ${relay.#program.stderr}`, () => relay.peerId !== '')
    return relay
  }

  private constructor (init: RelayInit) {
    this.#init = init
    this.#program = new Program('../acceptance/relay-process', [JSON.stringify(init)], line => {
      this.#hear(JSON.parse(line))
    })
    running.add(this)
    void this.#program.ended.then(() => { this.#isGone = true })
  }

  get port (): number {
    return this.#init.port
  }

  /** The same relay at the same port, after it was killed */
  async again (): Promise<Relay> {
    return Relay.start(this.#init)
  }

  /** Where those who go through a proxy dial it */
  behind (port: number): string {
    return `/ip4/127.0.0.1/tcp/${port}/ws/p2p/${this.peerId}`
  }

  /** It does so at the next frame of this phase */
  async arm (phase: Phase, how: Trip['how']): Promise<void> {
    const before = this.#armed
    this.#tripped = 0
    this.#tell({ type: 'trip', trip: { phase, how } })
    await until('a relay is armed', () => this.#armed > before)
  }

  get hasTripped (): boolean {
    return this.#tripped > 0 || this.#isGone
  }

  get isGone (): boolean {
    return this.#isGone
  }

  /** Whether it could read this, and how many bytes it could read in all */
  async find (text: string): Promise<{ bytes: number, count: number }> {
    this.#found.delete(text)
    this.#tell({ type: 'find', text })
    await until('a relay answers', () => this.#found.has(text))
    return this.#found.get(text) ?? { bytes: 0, count: 0 }
  }

  /** From one moment to the next it does nothing, and its connections stay */
  sleep (): void {
    this.#program.child.kill('SIGSTOP')
  }

  async kill (): Promise<void> {
    running.delete(this)
    await this.#program.kill()
    const { stderr } = this.#program

    if (stderr !== '') {
      throw new Error(`a relay wrote: ${stderr}`)
    }
  }

  #tell (order: RelayOrder): void {
    this.#program.tell(order)
  }

  #hear (news: RelayNews): void {
    switch (news.type) {
      case 'ready':
        this.peerId = news.peerId
        break
      case 'found':
        this.#found.set(news.text, news)
        break
      case 'armed':
        this.#armed++
        break
      case 'tripped':
        this.#tripped++
        break
    }
  }
}

/** One that nobody listens at: proxies have to know it before the relay is there, and after it is gone */
async function freePort (): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}
