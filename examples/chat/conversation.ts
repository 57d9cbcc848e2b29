import { attempt, CLOSED, decode, encode } from './common.ts'
import type { FileState } from './files.ts'
import type { Leader } from './leader.ts'
import type { PeerId } from '@libp2p/interface'
import type { Entry, SharedLog } from 'libp2p-sheaf'
import type { Profile } from 'libp2p-sheaf/tabs'

export const PROTOCOL = 'libp2p-sheaf/chat/1'
const READ = 'read'
const DELIVERED = 'delivered'
/** Messages that are on their way at a time: a session takes 1,024 */
const IN_FLIGHT = 256
export const MAX_TEXT = 10_000
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
  isMine: boolean
}

/** What one says to the other, sealed */
type Said = { type: 'message', id: string, time: number, counter: number } & Content | { type: 'read', id: string }

/** Beside the log: a message that is not in it yet, that one has arrived, or the last one that was read */
export type Kept = string | Message

export interface ConversationInit {
  profile: Profile<Leader>
  me: PeerId
  peer: PeerId
  /** Keeps something in all tabs, and for the next page. Without a value it is deleted */
  keep (what: string, value?: Kept): Promise<void>
  /** How a file stands at the leading tab */
  fileOf (id: string): FileState | undefined
  onChange (): void
}

/**
 * What two people say to each other. The log remembers it, at both: it is in step again when either was away, or lost
 * what it had stored. The session brings it, and says that it has arrived. Each tab shows it and adds to it; the one
 * that leads delivers it.
 */
export class Conversation {
  readonly #init: ConversationInit
  readonly #log: Promise<SharedLog>
  readonly #messages = new Map<string, Message>()
  readonly #sending = new Set<string>()
  readonly #delivered = new Set<string>()
  /** What came over the session, and is not in the log yet */
  readonly #unlogged = new Set<string>()
  /** They have read up to here */
  #read = ''
  /** The last message of the other side that the page has shown, and that we have told it about */
  #told?: string
  /** What this tab has of the files that it accepted, and where the page finds those that it has whole */
  readonly #files = new Map<string, { have: Blob, url?: string, isComing: boolean }>()

  constructor (init: ConversationInit) {
    this.#init = init
    this.#log = this.#open()
    attempt(this.#log.then(() => { this.deliver() }))
  }

  get peer (): PeerId {
    return this.#init.peer
  }

  /** In the order of the log, which is the same for both */
  get messages (): Array<Message & { state: MessageState }> {
    const all = [...this.#messages.values()]
      .sort((a, b) => a.time - b.time || a.counter - b.counter || (a.id < b.id ? -1 : 1))
    const read = all.findIndex(({ id }) => id === this.#read)
    const stateOf = ({ id, isMine }: Message, i: number): MessageState => {
      if (!isMine) {
        return 'received'
      }
      const sent = this.#delivered.has(id) ? 'delivered' : 'queued'
      return i <= read ? 'read' : sent
    }
    return all.map((message, i) => ({ ...message, state: stateOf(message, i) }))
  }

  fileOf (id: string): FileState & { url?: string } | undefined {
    const file = this.#init.fileOf(id)
    const { url } = this.#files.get(id) ?? {}
    return file == null && url == null ? undefined : { state: 'done', isMine: false, bytes: 0, ...file, url }
  }

  /** Resolves when it is stored here: from then on it is sent until it has arrived */
  async say (content: Content): Promise<void> {
    await (await this.#log).append(encode(content))
  }

  /** This tab has the file, and hands it to whichever one leads, until the other side has it */
  async sendFile (file: File): Promise<void> {
    const { profile, peer } = this.#init
    const { name, size } = file
    const id = crypto.randomUUID()
    await this.say({ text: '', file: { transfer: id, name, size } })
    await profile.call('send', { to: peer, id, name, file }, { repeats: true }).catch(() => {
      // the state of the file says it
    })
  }

  /** Goes on with what this tab has of it when another one leads, here or there */
  async accept (id: string): Promise<void> {
    const file = this.#files.get(id) ?? { have: new Blob(), isComing: false }
    this.#files.set(id, file)

    while (!file.isComing) {
      const parts: BlobPart[] = []
      file.isComing = true

      try {
        for await (const part of this.#init.profile.stream('receive', { id, have: file.have })) {
          parts.push(typeof part === 'number' ? file.have.slice(0, part) : new Uint8Array(part))
        }
        file.have = new Blob(parts)
        file.url ??= URL.createObjectURL(file.have)
        this.#init.onChange()
        return
      } catch (err: any) {
        file.have = parts.length === 0 ? file.have : new Blob(parts)

        if (err.name !== 'LeaderChangedError' && err.reason !== 'node-stopped') {
          // the state of the file says it
          return
        }
      } finally {
        file.isComing = false
      }
    }
  }

  /** Whoever offers a file again, as another tab leads there, is told what this tab has of it */
  onFiles (): void {
    this.#files.forEach(({ isComing }, id) => {
      !isComing && this.#init.fileOf(id)?.state === 'offered' && attempt(this.accept(id))
    })
  }

  async stop (id: string): Promise<void> {
    await this.#init.profile.call('stop', id, { repeats: true })
  }

  /** What came over the session: the log brings the same, sooner or later */
  hear (said: Said): void {
    if (said.type === 'read') {
      if (this.#messages.has(said.id)) {
        this.#keep(READ, said.id)
        this.onKept(READ, said.id)
      }
    } else if (typeof said.id === 'string' && [said.time, said.counter].every(Number.isSafeInteger)) {
      const { id, time, counter } = said
      const message = { ...contentOf(said), id, time, counter, isMine: false }
      // until the log brings it, a page that is loaded anew finds it there
      !this.#messages.has(id) && this.#keep(id, message)
      this.onKept(id, message)
    }
  }

  /** In each tab, whichever one kept it */
  onKept (what: string, value?: Kept): void {
    if (what === READ) {
      this.#read = String(value)
    } else if (value === DELIVERED) {
      this.#delivered.add(what)
    } else if (typeof value === 'object' && !this.#messages.has(what)) {
      this.#unlogged.add(what)
      this.#messages.set(what, value)
    }

    this.#init.onChange()
  }

  /** The page shows all there is */
  seen (): void {
    const id = this.messages.findLast(({ isMine }) => !isMine)?.id

    if (id != null && id !== this.#told) {
      this.#told = id
      // said again with the next one, or in the next life of this page
      this.#send({ type: 'read', id }).catch(() => { this.#told = undefined })
    }
  }

  /** The tab that leads sends what has not arrived, in its order */
  deliver (): void {
    const isDue = ({ id, state }: Message & { state: MessageState }): boolean =>
      state === 'queued' && !this.#sending.has(id)
    const queued = this.#leads ? this.messages.filter(isDue) : []

    for (const { id, time, counter, text, file } of queued.slice(0, IN_FLIGHT - this.#sending.size)) {
      this.#sending.add(id)
      this.#send({ type: 'message', id, time, counter, text, file }).then(() => {
        this.#sending.delete(id)
        this.onKept(id, DELIVERED)
        // a page that is loaded anew sends what is not known to have arrived
        this.#keep(id, DELIVERED)
        this.deliver()
      }, err => {
        this.#sending.delete(id)
        // closed here, or full: it is still queued
        CLOSED.includes(err.name) || setTimeout(() => { this.deliver() }, AGAIN)
      })
    }
  }

  get #leads (): boolean {
    return this.#init.profile.state.status === 'leading'
  }

  async #send (said: Said): Promise<void> {
    await this.#init.profile.sessions.send(this.peer, encode(said), { protocol: PROTOCOL })
  }

  /** One tab does, for all */
  #keep (what: string, value?: Kept): void {
    this.#leads && attempt(this.#init.keep(what, value))
  }

  async #open (): Promise<SharedLog> {
    const { profile, me, peer } = this.#init
    const name = [me.toString(), peer.toString()].sort().join('/')
    const log = await profile.logs.open(`libp2p-sheaf/chat/${name}`, { confidential: true, replicators: [me, peer] })
    log.addEventListener('entry:add', ({ detail: { entry } }) => {
      this.#add(entry)
      this.deliver()
    })

    for await (const entry of log.entries()) {
      this.#add(entry)
    }

    return log
  }

  #add ({ id: entryId, author, clock: { time, counter }, data }: Entry): void {
    const id = entryId.toString()
    const isMine = author.equals(this.#init.me)
    this.#messages.set(id, { ...contentOf(readable(data)), id, time: Number(time), counter, isMine })
    this.#unlogged.delete(id) && this.#keep(id)
    this.#init.onChange()
  }
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
