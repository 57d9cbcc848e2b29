import { publicKeyToProtobuf } from '@libp2p/crypto/keys'
import { defaultLogger } from '@libp2p/logger'
import { Signer } from '../../../src/pubsub/envelope.ts'
import { keptRanges } from '../../../src/replication/core/placement.ts'
import { covers } from '../../../src/replication/core/ring.ts'
import { SharedLog } from '../../../src/replication/shared-log.ts'
import { Pacer } from '../../../src/runtime/pacer.ts'
import { randomInt } from '../../../src/runtime/random.ts'
import { SimDisk } from './disk.ts'
import { SimLog } from './sim-log.ts'
import type { SimNet } from './sim-net.ts'
import type { Entry, Log } from '../../../src/log/index.ts'
import type { Replicate, SharedLogEvents } from '../../../src/replication/index.ts'
import type { Clock } from '../../../src/runtime/clock.ts'
import type { Random } from '../../../src/runtime/random.ts'
import type { VirtualClock } from '../../fixtures/virtual-clock.ts'
import type { PeerId, PrivateKey } from '@libp2p/interface'

export const LOG = 'sim'
export const MATURITY = 2_000
export const GRACE = 4_000
export const REPLICAS = 2

export interface SimNodeInit {
  name: string
  peerId: PeerId
  privateKey: PrivateKey
  clock: VirtualClock
  random: Random
  net: SimNet
  /** Milliseconds that its clock is ahead, at first */
  skew: number
  onWrong (what: string): void
}

/** One process after the other on one disk: what of it a crash leaves is the disk */
export class SimNode {
  readonly disk = new SimDisk()
  readonly init: SimNodeInit
  replicate: Replicate = true
  /** Whom it does not let replicate */
  refuses?: SimNode
  /** What its log takes; all of it, without */
  canAppend?: (entry: Entry) => boolean
  log?: SharedLog
  #simLog?: SimLog
  #life = 0
  /** What it would have done while its process is stopped; undefined: it is not */
  #asleep?: Array<() => void>
  /** Milliseconds that its clock is ahead */
  skew: number
  /** Those who have joined in this life, and not left */
  #joined = new Set<string>()

  constructor (init: SimNodeInit) {
    this.init = init
    this.skew = init.skew
  }

  /** As after SIGSTOP: nothing of it happens until it is woken, and then all that was due */
  sleep (): void {
    this.#asleep ??= []
  }

  wake (): void {
    const due = this.#asleep ?? []
    this.#asleep = undefined
    due.forEach(act => { act() })
  }

  #act (act: () => void): void {
    if (this.#asleep == null) {
      act()
    } else {
      this.#asleep.push(act)
    }
  }

  /** Which one after the other this is */
  get life (): number {
    return this.#life
  }

  get isAsleep (): boolean {
    return this.#asleep != null
  }

  get isRunning (): boolean {
    return this.log?.status === 'open'
  }

  /** Opening takes as long as the disk does */
  async start (): Promise<void> {
    const { privateKey, random, net, peerId } = this.init
    const life = ++this.#life
    const clock = this.#clockOf(life)
    this.#joined = new Set()
    const log = await SharedLog.open({
      id: LOG,
      options: {
        replicate: this.replicate,
        replicas: { min: REPLICAS },
        maturity: MATURITY,
        grace: GRACE,
        canReplicate: peerId => this.refuses == null || !peerId.equals(this.refuses.init.peerId)
      },
      clock,
      random,
      port: net.port(peerId, act => { this.#act(act) }),
      privateKey,
      signer: new Signer(privateKey),
      datastore: this.disk.datastore,
      logger: defaultLogger(),
      pacer: new Pacer(clock, Infinity),
      randomBytes: length => Uint8Array.from({ length }, () => randomInt(random, 256)),
      openLog: async () => {
        await new Promise<void>(resolve => { clock.after(this.disk.slowness, resolve) })
        this.#simLog = new SimLog({ id: LOG, author: publicKeyToProtobuf(privateKey.publicKey), disk: this.disk, clock, random, canAppend: this.canAppend, onRemove: position => { this.#onRemove(position) } })
        return this.#simLog as unknown as Log
      },
      close: async () => {},
      drop: async () => {}
    })

    if (life === this.#life) {
      this.log = log
      this.#observe(log, life)
    }
  }

  async stop (): Promise<void> {
    const { log } = this
    this.log = undefined
    await log?.end()
    this.#life++
  }

  /** Nothing of this life happens any more */
  crash (): void {
    this.#life++
    this.log = undefined
    this.init.net.crash(this.init.peerId)
    this.#simLog?.crash()
  }

  /** What it keeps it never lets go of */
  #onRemove (position: number): void {
    const own = this.log?.replicators().find(({ self }) => self)?.segments ?? []

    if (covers(keptRanges(own, REPLICAS), position)) {
      this.init.onWrong(`${this.init.name} lets go of what it keeps`)
    }
  }

  #observe (log: SharedLog, life: number): void {
    const { name, onWrong } = this.init
    const watch = <K extends keyof SharedLogEvents>(type: K, look: (detail: SharedLogEvents[K]['detail']) => void): void => {
      log.addEventListener(type, (({ detail }: { detail: SharedLogEvents[K]['detail'] }) => {
        if (life !== this.#life || log.status === 'closed') {
          onWrong(`${name}: ${type} after its end`)
        }
        look(detail)
      }) as any)
    }

    // who joined while it opened had no listener yet
    log.replicators().forEach(({ peerId }) => this.#joined.add(peerId.toString()))
    watch('replicator:join', ({ peerId }) => {
      if (this.#joined.has(peerId.toString())) {
        onWrong(`${name}: ${peerId} joined twice`)
      }
      this.#joined.add(peerId.toString())
    })
    watch('replicator:leave', ({ peerId }) => {
      if (!this.#joined.delete(peerId.toString())) {
        onWrong(`${name}: ${peerId} left, and had not joined`)
      }
    })
    watch('replication:change', ({ peerId }) => {
      if (!this.#joined.has(peerId.toString())) {
        onWrong(`${name}: ${peerId} changed, and had not joined`)
      }
    })
  }

  #clockOf (life: number): Clock {
    const { clock } = this.init
    return {
      now: () => clock.now() + this.skew,
      after: (ms, fn) => {
        let isCancelled = false
        const timer = clock.after(ms, () => { this.#act(() => { life === this.#life && !isCancelled && fn() }) })
        return {
          cancel: () => {
            isCancelled = true
            timer.cancel()
          }
        }
      },
      soon: fn => { clock.soon(() => { life === this.#life && fn() }) }
    }
  }
}
