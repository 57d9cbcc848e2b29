import { generateKeyPair, privateKeyToProtobuf } from '@libp2p/crypto/keys'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { toString } from 'uint8arrays/to-string'
import { eventually, range } from '../fixtures/directsub.ts'
import { killProcesses, PeerProcess, Program } from '../fixtures/processes.ts'
import type { Looked } from '../fixtures/processes.ts'
import type { PrivateKey } from '@libp2p/interface'

/** What the stranger has to know */
export interface StrangerInit {
  address: string
  victim: string
  honest: string
  /** What the honest pair talks on, and what everybody is sent who wants it */
  topic: string
  open: string
  seed: number
}

export interface AttackReport {
  name: string
  /** Frames that were sent, or streams that were opened */
  frames: number
  /** Peers that the stranger had to be: its victim lets each be after a while */
  names: number
}

export interface HostileInit {
  /** Milliseconds of attacks, one after the other and over again. 0: each once */
  attacks: number
  /** Milliseconds of peace before them, and of each of them */
  peace: number
  slice: number
  /** The name of the one attack that is looked at */
  only?: string
  seed?: number
  onLine? (line: string): void
}

/** Milliseconds */
export interface Latency {
  count: number
  p50: number
  p95: number
  max: number
}

export interface Memory {
  rss: number
  heap: number
}

export interface HostileReport {
  before: Latency
  during: Latency
  /** By attack: where it hurts */
  each: Map<string, Latency>
  /** Of the victim: before, in the middle, at the end, and when the stranger is gone */
  memory: Memory[]
  /** What must never be: lost, twice, or not acked */
  wrong: string[]
}

const TOPIC = 'what the honest say'
const OPEN = 'for everybody'
/** Milliseconds between two messages of each of the honest; bytes of them, and of what goes to everybody */
const PAUSE = 20
const SIZE = 200
const OPEN_SIZE = 4000
/** Keys of which the victim gets the largest id: of two neighbours the smaller one opens the streams */
const KEYS = 64
/** Milliseconds that what is on its way may take to settle, beside the deadline of acks */
const PATIENCE = 60_000

function name (key: PrivateKey): string {
  return peerIdFromPrivateKey(key).toString()
}

function written (key: PrivateKey): string {
  return toString(privateKeyToProtobuf(key), 'base64url')
}

export function latencyOf (times: number[]): Latency {
  const sorted = [...times].sort((a, b) => a - b)
  const at = (share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? NaN
  return { count: sorted.length, p50: at(0.5), p95: at(0.95), max: at(1) }
}

export function print ({ count, p50, p95, max }: Latency): string {
  return `p50 ${p50.toFixed(1)} ms, p95 ${p95.toFixed(1)} ms, at most ${max.toFixed(0)} ms (${count} messages)`
}

function printMemory ({ rss, heap }: Memory): string {
  return `RSS ${(rss / 1e6).toFixed(0)} MB, heap ${(heap / 1e6).toFixed(1)} MB`
}

/** An honest pair in two processes, who talk all the time and want acks; and what one of them sends to everybody */
class Pair {
  readonly a: PeerProcess
  readonly b: PeerProcess
  count = 0
  readonly #over = new AbortController()
  #talk?: Promise<void>

  constructor (a: PeerProcess, b: PeerProcess) {
    this.a = a
    this.b = b
  }

  begin (): void {
    this.#talk = (async () => {
      for (; !this.#over.signal.aborted; this.count++) {
        this.a.publish(TOPIC, this.count, { size: SIZE, to: [this.b.peerId], ack: 'all' })
        this.b.publish(TOPIC, this.count, { size: SIZE, to: [this.a.peerId], ack: 'all' })
        this.a.publish(OPEN, this.count, { size: OPEN_SIZE })
        await new Promise<void>(resolve => { setTimeout(resolve, PAUSE) })
      }
    })()
  }

  async end (): Promise<void> {
    this.#over.abort()
    await this.#talk
    await eventually('not all that was published is settled', () => this.a.published.length === 2 * this.count && this.b.published.length === this.count, PATIENCE)
    await Promise.all([this.a.look(), this.b.look()])
  }

  /** Milliseconds from publish() to the ack, both ways, of messages that were numbered from `first` on */
  latency (first: number, end = this.count): Latency {
    const all = [this.a, this.b].flatMap(({ published }) => published)
    return latencyOf(all.filter(({ topic, number }) => topic === TOPIC && number >= first && number < end).map(({ took }) => took))
  }

  get wrong (): string[] {
    return [...this.#wrongAt(this.a, this.b), ...this.#wrongAt(this.b, this.a)]
  }

  #wrongAt (from: PeerProcess, to: PeerProcess): string[] {
    const who = from === this.a ? 'from the one that is attacked' : 'to the one that is attacked'
    const numbers = to.messages.filter(({ topic }) => topic === TOPIC).map(({ number }) => number)
    const unacked = from.published.filter(({ topic, acked }) => topic === TOPIC && !acked.includes(to.peerId))
    const open = to.messages.filter(({ topic }) => topic === OPEN).map(({ number }) => number)
    const failed = new Set(from.published.filter(({ topic, failed }) => topic === OPEN && failed.some(([peer]) => peer === to.peerId)).map(({ number }) => number))
    const unheard = from === this.a ? this.count - new Set(open).size - failed.size : 0

    return [
      ...unacked.length > 0 ? [`${unacked.length} messages ${who} were not acked: ${unacked.slice(0, 3).map(({ number, failed }) => `${number} ${failed.map(([, reason]) => reason).join()}`).join(', ')}`] : [],
      ...new Set(numbers).size < this.count ? [`${this.count - new Set(numbers).size} messages ${who} were lost`] : [],
      ...new Set(numbers).size < numbers.length || new Set(open).size < open.length ? [`messages ${who} were delivered twice`] : [],
      ...unheard > 0 ? [`${unheard} messages for everybody did not come, and nobody said so`] : []
    ]
  }
}

/** The stranger's process */
class Stranger {
  readonly #program: Program
  attacks: string[] = []
  #reports: AttackReport[] = []

  static async start (init: StrangerInit): Promise<Stranger> {
    const stranger = new Stranger(init)
    await eventually(() => `the stranger does not start: ${stranger.#program.stderr}`, () => stranger.attacks.length > 0, PATIENCE)
    return stranger
  }

  private constructor (init: StrangerInit) {
    this.#program = new Program('../soak/stranger', [JSON.stringify(init)], line => {
      const said = JSON.parse(line)
      'attacks' in said ? this.attacks = said.attacks : this.#reports.push(said)
    })
  }

  async attack (name: string, ms: number, epoch: number): Promise<AttackReport> {
    this.#program.tell({ name, ms, epoch })
    await eventually(() => `an attack does not end: ${name} ${this.#program.stderr}`, () => this.#reports.length > 0, ms + PATIENCE)
    return this.#reports.pop() as AttackReport
  }

  async kill (): Promise<void> {
    await this.#program.kill()
  }
}

async function startPair (): Promise<Pair> {
  const keys = await Promise.all(range(KEYS).map(async () => generateKeyPair('Ed25519')))
  const [victim, honest] = keys.sort((one, other) => name(one) < name(other) ? 1 : -1)
  const names = [victim, honest].map(name)
  const [a, b] = await Promise.all([
    // five a second from one address, as libp2p has it when nobody says anything else
    PeerProcess.start({ privateKey: written(victim), hears: names, inboundConnectionThreshold: 5 }, ['--expose-gc']),
    PeerProcess.start({ privateKey: written(honest), hears: names })
  ])
  await b.meet(a)
  await Promise.all([a, b].flatMap(peer => [peer.subscribe(TOPIC), peer.subscribe(OPEN)]))
  await a.knows('the other one', ({ subscribers }) => subscribers[OPEN].includes(b.peerId))
  await b.knows('the other one', ({ subscribers }) => subscribers[OPEN].includes(a.peerId))
  return new Pair(a, b)
}

/** An honest pair, first alone, and then with a neighbour that does all it can to disturb them */
export async function runHostile ({ attacks, peace, slice, only, seed = 1, onLine = () => {} }: HostileInit): Promise<HostileReport> {
  const pair = await startPair()
  const { a, b } = pair
  const memory: Memory[] = []
  const each = new Map<string, Latency>()
  const numbers: Array<[name: string, first: number, end: number]> = []
  const look = async (when: string): Promise<Looked> => {
    const looked = await a.look(true)
    memory.push(looked.memory)
    onLine(`  memory of the one that is attacked, ${when}: ${printMemory(looked.memory)}`)
    return looked
  }
  const { epoch } = await a.look()
  const stranger = await Stranger.start({ address: a.address, victim: a.peerId, honest: b.peerId, topic: TOPIC, open: OPEN, seed })

  try {
    pair.begin()
    // the first ones pay for code that is not compiled yet
    await eventually('nothing is said', () => pair.count > 100, PATIENCE)
    const first = pair.count
    await new Promise<void>(resolve => { setTimeout(resolve, peace) })
    const begun = pair.count
    await look('at the start')
    const kinds = stranger.attacks.filter(kind => only == null || kind === only)
    const began = performance.now()
    const done = (i: number): number => attacks > 0 ? (performance.now() - began) / attacks : i / kinds.length
    let isHalfway = false

    for (let i = 0; done(i) < 1; i++) {
      const attack = kinds[i % kinds.length]
      const from = pair.count
      await a.look()
      const { frames, names } = await stranger.attack(attack, slice, epoch)
      numbers.push([attack, from, pair.count])
      const { cpu, turn } = await a.look()
      onLine(`  ${attack}: ${frames} by ${names} in turn; ${print(pair.latency(from))}; ${cpu.toFixed(0)} ms of processor, longest turn ${turn.toFixed(0)} ms`)

      if (!isHalfway && done(i + 1) >= 0.5) {
        isHalfway = true
        await look('in the middle')
      }
    }

    const ended = pair.count
    await look('at the end')
    await stranger.kill()
    await pair.end()
    await a.knows('that the stranger is gone', ({ neighbours }) => neighbours.length === 1)
    const after = await look('when the stranger is gone')

    for (const attack of new Set(numbers.map(([attack]) => attack))) {
      const times = numbers.filter(([other]) => other === attack).flatMap(([, from, to]) => [a, b].flatMap(({ published }) => {
        return published.filter(({ topic, number }) => topic === TOPIC && number >= from && number < to).map(({ took }) => took)
      }))
      each.set(attack, latencyOf(times))
    }

    const { channels, requests, busyMailboxes, updates, flows, lines } = after.sizes
    const left = channels - 1 + requests + busyMailboxes + updates + flows + lines
    return {
      before: pair.latency(first, begun),
      during: pair.latency(begun, ended),
      each,
      memory,
      wrong: [...pair.wrong, ...left > 0 ? [`something of the stranger is left: ${JSON.stringify(after.sizes)}`] : []]
    }
  } finally {
    await stranger.kill()
    await killProcesses()
  }
}
