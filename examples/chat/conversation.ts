import type { Services } from './profile.ts'
import type { PeerId } from '@libp2p/interface'
import type { Entry, IncomingTransfer, Offer, OutboundTransfer, SharedLog } from 'libp2p-sheaf'

export const PROTOCOL = 'libp2p-sheaf/chat/1'
/** Up to which message the other side has read */
const READ = 'read'
/** Messages that are on their way at a time: a session takes 1,024 */
const IN_FLIGHT = 256
export const MAX_TEXT = 10_000
/** Bytes of a file: what is received is held in memory until it is saved */
const MAX_FILE = 256 * 1024 * 1024
/** Milliseconds between two tries when the session was closed under a message */
const AGAIN = 1000

/**
 * - queued: it is stored here, and on its way as soon as there is one. Whether a relay has it nobody knows
 * - delivered: the session of the other side has said that its program has it
 * - read: the other side has said so
 * - received: it is of the other side
 */
export type MessageState = 'queued' | 'delivered' | 'read' | 'received'

export interface Content {
  text: string
  /** The transfer that brings a file */
  file?: { transfer: string, name: string, size: number }
}

export interface Message extends Content {
  id: string
  time: number
  counter: number
  state: MessageState
}

export interface FileState {
  state: 'offered' | 'moving' | 'done' | 'failed'
  bytes: number
  why?: string
  /** Where the page finds what has arrived */
  url?: string
  accept? (): void
  stop? (): void
}

/** What one says to the other, sealed */
type Said = { type: 'message', id: string, time: number, counter: number } & Content | { type: 'read', id: string }

/**
 * What two people say to each other. The log remembers it, at both: it is in step again when either was away, or lost
 * what it had stored. The session brings it, and says that it has arrived.
 */
export class Conversation {
  readonly files = new Map<string, FileState>()
  readonly peer: PeerId
  readonly #services: Services
  readonly #onChange: () => void
  readonly #log: Promise<SharedLog>
  readonly #messages = new Map<string, Message>()
  readonly #sending = new Set<string>()
  /** What came over the session, and is not in the log yet */
  readonly #unlogged = new Set<string>()
  /** The last message of the other side that the page has shown, and that we have told it about */
  #told?: string

  constructor (services: Services, me: PeerId, peer: PeerId, onChange: () => void) {
    this.peer = peer
    this.#services = services
    this.#onChange = onChange
    this.#log = this.#open(me)
    this.#log.then(() => { this.deliver() }, reportError)
  }

  /** In the order of the log, which is the same for both */
  get messages (): Message[] {
    return [...this.#messages.values()]
      .sort((a, b) => a.time - b.time || a.counter - b.counter || (a.id < b.id ? -1 : 1))
  }

  /** Resolves when it is stored here: from then on it is sent until it has arrived */
  async say (content: Content): Promise<void> {
    await (await this.#log).append(encode(content))
  }

  async sendFile (file: File): Promise<void> {
    const source = async function * (from: number): AsyncGenerator<Uint8Array> {
      for (let at = from; at < file.size; at += 65536) {
        yield new Uint8Array(await file.slice(at, at + 65536).arrayBuffer())
      }
    }
    const transfer: OutboundTransfer = this.#services.transfers.send(this.peer, source, {
      protocol: PROTOCOL,
      confidential: true,
      meta: encode({ name: file.name.slice(0, 200) }),
      onProgress: ({ bytes }) => { this.#moved(transfer.id, bytes) }
    })
    this.files.set(transfer.id, { state: 'offered', bytes: 0, stop: () => { transfer.abort() } })
    transfer.done.then(
      () => { this.#ended(transfer.id, { state: 'done', bytes: file.size }) },
      err => { this.#ended(transfer.id, { state: 'failed', bytes: transfer.progress.bytes, why: err.message }) }
    )
    await this.say({ text: '', file: { transfer: transfer.id, name: file.name, size: file.size } })
  }

  offered (offer: Offer): void {
    const accept = (): void => {
      const incoming = offer.accept({ onProgress: ({ bytes }) => { this.#moved(offer.id, bytes) } })
      this.files.set(offer.id, { state: 'moving', bytes: 0, stop: () => { incoming.abort() } })
      this.#onChange()
      void this.#receive(offer.id, incoming)
    }
    this.files.set(offer.id, { state: 'offered', bytes: 0, accept, stop: () => { offer.reject() } })
    this.#onChange()
  }

  /** What came over the session: the log brings the same, sooner or later */
  hear (said: Said): void {
    const isKnown = this.#messages.has(said.id)

    if (said.type === 'read') {
      isKnown && this.#read(said.id)
    } else if (!isKnown && typeof said.id === 'string' && [said.time, said.counter].every(Number.isSafeInteger)) {
      const { id, time, counter } = said
      const message: Message = { ...contentOf(said), id, time, counter, state: 'received' }
      this.#add(message)
      // the log brings it a moment later: until then a page that is loaded anew finds it here
      this.#unlogged.add(id)
      this.#keep(id, message).catch(reportError)
    }
  }

  /** The page shows all there is */
  seen (): void {
    const id = this.messages.findLast(({ state }) => state === 'received')?.id

    if (id != null && id !== this.#told) {
      this.#told = id
      // said again with the next one, or in the next life of this page
      this.#send({ type: 'read', id }).catch(() => { this.#told = undefined })
    }
  }

  /** Sends what has not arrived, in its order */
  deliver (): void {
    for (const { id, time, counter, text, file } of this.messages.filter(({ state }) => state === 'queued')) {
      if (this.#sending.size >= IN_FLIGHT) {
        return
      }
      if (!this.#sending.has(id)) {
        this.#sending.add(id)
        this.#send({ type: 'message', id, time, counter, text, file }).then(async () => {
          this.#sending.delete(id)
          await this.#arrived(id)
          this.deliver()
        }).catch(err => {
          this.#sending.delete(id)
          // closed here, or full: it is still queued
          err.name !== 'NotStartedError' && setTimeout(() => { this.deliver() }, AGAIN)
        })
      }
    }
  }

  async #send (said: Said): Promise<void> {
    await this.#services.sessions.send(this.peer, encode(said), { protocol: PROTOCOL })
  }

  async #open (me: PeerId): Promise<SharedLog> {
    const name = [me.toString(), this.peer.toString()].sort().join('/')
    const log = await this.#services.logs.open(`libp2p-sheaf/chat/${name}`, {
      confidential: true, replicators: [me, this.peer]
    })
    const marks = new Map<string, MessageState>()
    let read = ''

    for await (const { name, value } of log.shelf(PROTOCOL).read()) {
      const [key, kept] = [decode<string>(name), decode<string | Message>(value)]

      if (typeof kept !== 'string') {
        this.#unlogged.add(key)
        this.#add(kept)
      } else if (key === READ) {
        read = kept
      } else {
        marks.set(key, 'delivered')
      }
    }

    const add = (entry: Entry): void => {
      const id = entry.id.toString()
      const isMine = entry.author.equals(me)
      this.#add({
        ...contentOf(readable(entry.data)),
        id,
        time: Number(entry.clock.time),
        counter: entry.clock.counter,
        state: isMine ? this.#messages.get(id)?.state ?? marks.get(id) ?? 'queued' : 'received'
      })
      isMine && this.deliver()
      this.#unlogged.delete(id) && this.#keep(id).catch(reportError)
    }
    log.addEventListener('entry:add', ({ detail: { entry } }) => { add(entry) })

    for await (const entry of log.entries()) {
      add(entry)
    }

    this.#read(read)
    return log
  }

  #add (message: Message): void {
    this.#messages.set(message.id, message)
    this.#onChange()
  }

  /** They have read up to here */
  #read (id: string): void {
    const messages = this.messages
    messages.slice(0, messages.findIndex(message => message.id === id) + 1)
      .filter(({ state }) => state === 'queued' || state === 'delivered')
      .forEach(message => { message.state = 'read' })
    id !== '' && this.#keep(READ, id).catch(reportError)
    this.#onChange()
  }

  async #arrived (id: string): Promise<void> {
    const message = this.#messages.get(id)
    message?.state === 'queued' && (message.state = 'delivered')
    this.#onChange()
    // a page that is loaded anew sends what is not known to have arrived
    await this.#keep(id, 'delivered')
  }

  /** Beside the log; without a value it is deleted */
  async #keep (name: string, value?: string | Message): Promise<void> {
    const change = { name: encode(name), ...value == null ? {} : { value: encode(value) } }
    await (await this.#log).shelf(PROTOCOL).write([change])
  }

  async #receive (id: string, incoming: IncomingTransfer): Promise<void> {
    try {
      const bytes = await incoming.bytes(MAX_FILE)
      const url = URL.createObjectURL(new Blob([new Uint8Array(bytes)]))
      this.#ended(id, { state: 'done', bytes: bytes.byteLength, url })
    } catch (err: any) {
      this.#ended(id, { state: 'failed', bytes: incoming.progress.bytes, why: err.message })
    }
  }

  #moved (id: string, bytes: number): void {
    const file = this.files.get(id)

    if (file != null && file.state !== 'done') {
      this.files.set(id, { ...file, state: 'moving', bytes })
      this.#onChange()
    }
  }

  #ended (id: string, state: FileState): void {
    this.files.set(id, state)
    this.#onChange()
  }
}

export function encode (value: unknown): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(value))
}

export function decode <T> (bytes: Uint8Array): T {
  return JSON.parse(new TextDecoder().decode(bytes))
}

/** The other side may say anything */
function contentOf ({ text, file }: Partial<Content>): Content {
  const isFile = typeof file?.transfer === 'string' && typeof file.name === 'string' && Number.isSafeInteger(file.size)
  return { text: String(text ?? '').slice(0, MAX_TEXT), file: isFile ? file : undefined }
}

function readable (data: Uint8Array): Partial<Content> {
  try {
    return decode<Content>(data)
  } catch {
    return { text: '(this page cannot read what is here)' }
  }
}
