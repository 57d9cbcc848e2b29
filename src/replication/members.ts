import { Key as StoreKey } from 'interface-datastore'
import { toString } from 'uint8arrays/to-string'
import { Alarm } from '../runtime/alarm.ts'
import { Reader, Writer } from '../runtime/codec.ts'
import { MalformedError } from '../runtime/errors.ts'
import { bytesOfKey } from '../runtime/keys.ts'
import { Mailboxes } from '../runtime/mailbox.ts'
import * as limits from './constants.ts'
import { isNewer } from './core/info.ts'
import { Membership } from './core/membership.ts'
import { isTrue, readDocument } from './documents.ts'
import type { Document, Info } from './core/info.ts'
import type { MembershipEffect, Transition } from './core/membership.ts'
import type { Segment } from './core/ring.ts'
import type { Key } from './core/types.ts'
import type { Unverified } from './documents.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Counters } from '../runtime/counters.ts'
import type { Logger } from '@libp2p/interface'
import type { Datastore } from 'interface-datastore'

export interface MembersInit {
  self: Key
  /** SHA-256 of the id of the log */
  logHash: Uint8Array
  clock: Clock
  log: Logger
  counters: Counters
  datastore: Datastore
  maturity: number
  grace: number
  canReplicate? (peer: Key, segments: Segment[]): boolean | Promise<boolean>
  /** Say hello to it, and ask for what it keeps */
  ask (peer: Key): void
  /** An earlier life of ours had a larger epoch */
  outlive (epoch: number): void
  onTransition (transition: Transition): void
}

/**
 * The shell around who is a replicator: documents are verified and accepted in turns, one after the other for each owner, and
 * stored for the next life. Whether one is news is decided at the end of its turn, by the core, at once.
 */
export class Members {
  readonly core: Membership
  readonly #init: MembersInit
  readonly #turns: Mailboxes
  readonly #writes: Mailboxes
  readonly #alarm: Alarm
  readonly #base: string
  readonly #writing = new Set<Promise<void>>()

  constructor (init: MembersInit) {
    const { clock, logHash, maturity, grace } = init
    this.#init = init
    this.core = new Membership({ maturity, grace, maxPeers: limits.MAX_PEERS, maxBytes: limits.MAX_DOCUMENTS_BYTES })
    this.#turns = new Mailboxes({ name: 'replication info', clock, deadline: limits.TURN_DEADLINE, capacity: limits.MAX_TURNS })
    this.#writes = new Mailboxes({ name: 'replicators stored', clock, deadline: limits.LIFECYCLE_DEADLINE, capacity: limits.MAX_TURNS })
    this.#alarm = new Alarm(clock, () => { this.#run(this.core.wake(clock.now())) })
    this.#base = `/sheaf/replicators/${toString(logHash, 'base64url')}`
  }

  /** What those said who were in when this node was here last */
  async load (): Promise<void> {
    const { clock, canReplicate, datastore } = this.#init
    const loading: Array<Promise<void>> = []

    for await (const { key, value } of datastore.query({ prefix: `${this.#base}/` })) {
      loading.push(this.#load(key, value))
    }

    const { promise: late, resolve } = Promise.withResolvers<void>()
    const timer = clock.after(canReplicate == null ? limits.LIFECYCLE_DEADLINE : limits.LOAD_PATIENCE, resolve)

    try {
      // those whom canReplicate takes longer for are decided about when the log is open
      await Promise.race([Promise.all(loading), late])
    } finally {
      timer.cancel()
    }
  }

  open (): void {
    this.#run(this.core.open(this.#init.clock.now()))
  }

  present (peer: Key): void {
    this.#run(this.core.present(peer, this.#init.clock.now()))
  }

  absent (peer: Key, isSaid: boolean): void {
    this.#run(this.core.absent(peer, isSaid, this.#init.clock.now()))
  }

  /** Documents as they came: each is dealt with in a turn of its owner. Throws a MalformedError, and then none is */
  receive (documents: Uint8Array[]): void {
    for (const unverified of documents.map(bytes => readDocument(bytes, this.#init.logHash))) {
      const { owner, epoch } = unverified.document

      this.#turns.turn(owner, async () => { await this.#receive(unverified, false) }).catch(err => {
        // too many at once, or too slow: it is asked when it is here next
        this.#init.counters.add(`documents: ${err.name}`)
        this.#init.log.error('a document of epoch %d could not be dealt with - %e', epoch, err)
      })
    }
  }

  /** Whether it is a replicator. What it said so far has been dealt with by then */
  async isIn (peer: Key): Promise<boolean> {
    await this.#turns.turn(peer, () => {})
    return [...this.core.replicators()].some(replicator => replicator.peer === peer)
  }

  /** Whether it may read, though it keeps nothing. Who wants to keep what it may not is refused in all */
  async mayRead (peer: Key): Promise<boolean> {
    const { segments = [] } = this.core.infoOf(peer) ?? {}
    return segments.length === 0 && await this.#turns.turn(peer, () => this.#init.canReplicate?.(peer, []) ?? true)
  }

  /** What all replicators said, as far as it goes into one message */
  documents (maxBytes: number): Uint8Array[] {
    const documents: Uint8Array[] = []
    let bytes = 0

    for (const { peer } of this.core.replicators()) {
      const some = this.core.infoOf(peer)?.documents ?? []
      bytes += some.reduce((sum, { byteLength }) => sum + byteLength + 4, 0)

      if (bytes > maxBytes) {
        break
      }

      documents.push(...some)
    }

    return documents
  }

  async close (): Promise<void> {
    this.core.close()
    this.#alarm.set(Infinity)
    this.#turns.stop()
    // what is being stored is stored
    await Promise.allSettled([...this.#writing])
  }

  async drop (): Promise<void> {
    for await (const key of this.#init.datastore.queryKeys({ prefix: `${this.#base}/` })) {
      await this.#init.datastore.delete(key)
    }
  }

  async #load (key: StoreKey, value: Uint8Array): Promise<void> {
    try {
      const documents = readDocuments(value).map(bytes => readDocument(bytes, this.#init.logHash))

      await this.#turns.turn(documents[0].document.owner, async () => {
        for (const unverified of documents) {
          await this.#receive(unverified, true)
        }
      })
    } catch (err) {
      this.#init.log.error('what is stored of a replicator cannot be read - %e', err)

      // it says it itself when it comes back
      if (this.core.status !== 'closed') {
        await this.#init.datastore.delete(key)
      }
    }
  }

  async #receive (unverified: Unverified, isStored: boolean): Promise<void> {
    const { document } = unverified
    const { owner, epoch } = document
    const { self, canReplicate, counters } = this.#init
    const known = this.core.infoOf(owner)

    if (known != null && !isNewer(document, known) && !isStored) {
      return
    }
    if (!await isTrue(unverified)) {
      throw new MalformedError('the signature of a document is not that of its owner')
    }
    if (owner === self) {
      this.#init.outlive(epoch)
      return
    }

    const info = this.core.preview(document)
    const isAccepted = info == null || info.segments.length === 0 || canReplicate == null || await canReplicate(owner, info.segments)

    if (!isAccepted) {
      counters.add('replicators refused')
    }

    this.#apply(document, isAccepted, isStored)
  }

  /** Nothing is awaited from here on. Of a closed log it makes nothing */
  #apply (document: Document, isAccepted: boolean, isStored: boolean): void {
    const now = this.#init.clock.now()
    this.#run(isStored && this.core.status === 'opening' ? this.core.remember(document, isAccepted, now) : this.core.receive(document, isAccepted, now))
  }

  #run (effects: MembershipEffect[]): void {
    this.#alarm.set(this.core.nextWake())

    for (const effect of effects) {
      // a listener of the last one may have closed the log
      if (this.core.status === 'closed') {
        return
      }
      if (effect.type === 'store') {
        this.#store(effect.peer, effect.documents)
      } else if (effect.type === 'ask') {
        this.#init.ask(effect.peer)
      } else {
        this.#init.onTransition(effect)
      }
    }
  }

  #store (peer: Key, documents: Info['documents']): void {
    const key = new StoreKey(`${this.#base}/${toString(bytesOfKey(peer), 'base64url')}`)
    const writing = this.#writes.turn(peer, async () => {
      if (documents.length > 0) {
        await this.#init.datastore.put(key, writeDocuments(documents))
      } else {
        await this.#init.datastore.delete(key)
      }
    }).catch(err => {
      // it is only what spares a restart a question
      this.#init.log.error('a replicator could not be stored - %e', err)
    }).finally(() => { this.#writing.delete(writing) })
    this.#writing.add(writing)
  }
}

function writeDocuments (documents: Uint8Array[]): Uint8Array {
  const writer = new Writer()
  return writer.list(documents, bytes => writer.bytes(bytes)).finish()
}

function readDocuments (value: Uint8Array): Uint8Array[] {
  const reader = new Reader(value)
  return reader.list(Infinity, () => reader.bytes())
}
