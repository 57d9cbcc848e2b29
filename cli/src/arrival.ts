import { lstat, statfs } from 'node:fs/promises'
import { join } from 'node:path'
import { toString } from 'uint8arrays/to-string'
import { oneLine } from './errors.ts'
import { partOf } from './file-name.ts'
import { openPart } from './part.ts'
import { bytesInWords, clipped, NAME_WIDTH, short } from './text.ts'
import type { Event, FileEvent } from './events.ts'
import type { Part } from './part.ts'
import type { IncomingTransfer, Offer } from 'libp2p-sheaf'

/** Letters of a root that tell a payload from others of the same name */
const TAG = 8

export interface ArrivalInit {
  offer: Offer & { size: number, root: Uint8Array }
  name: string
  dir: string
  signal: AbortSignal
  /** Whether another one is being written there */
  isTaken (path: string): boolean
  print (event: Event): Promise<void>
}

/** A file that comes in */
export class Arrival {
  readonly name: string
  /** Names the bytes, whoever sends them */
  readonly root: string
  /** Another one waits to send the same */
  isAwaited = false
  /** There is no way to its sender */
  isOrphaned = false
  readonly #init: ArrivalInit
  readonly #since = performance.now()
  readonly #over = Promise.withResolvers<void>()
  #path?: string
  #part?: Part
  #incoming?: IncomingTransfer
  /** Bytes that were here before */
  #from = 0
  #isStored = false

  constructor (init: ArrivalInit) {
    this.#init = init
    this.name = init.name
    this.root = toString(init.offer.root, 'hex')
  }

  get offer (): Offer {
    return this.#init.offer
  }

  /** Where it lies meanwhile, from before it is opened there */
  get path (): string | undefined {
    return this.#path
  }

  /** Resolves when it is over, however it ended */
  get over (): Promise<void> {
    return this.#over.promise
  }

  abort (): void {
    this.#incoming?.abort()
  }

  /** Says how it ended, and does not throw */
  async receive (): Promise<void> {
    try {
      this.#part = await this.#openPart()
      await this.#checkRoom(this.#part)
      await this.#write(this.#accept(this.#part))
    } catch (err: any) {
      await this.#failed(err)
    } finally {
      this.#over.resolve()
    }
  }

  /** The part that an earlier transfer left, or a new one */
  async #openPart (): Promise<Part> {
    const { isTaken } = this.#init
    const [usual, own] = this.#places
    const isOwnThere = await lstat(own).then(() => true, () => false)
    this.#path = isOwnThere || isTaken(usual) ? own : usual
    return await openPart(this.#path) ?? this.#openOwn()
  }

  /** The usual place holds another file */
  async #openOwn (): Promise<Part> {
    const [, own] = this.#places
    this.#path = own
    const part = await openPart(own)

    if (part == null) {
      throw new Error(`${own} is in its way`)
    }
    return part
  }

  /** Where it lies meanwhile, and where it does if another one lies there */
  get #places (): [usual: string, own: string] {
    const { dir, name } = this.#init
    return [join(dir, partOf(name)), join(dir, partOf(name, `.${this.root.slice(0, TAG)}`))]
  }

  async #checkRoom (part: Part): Promise<void> {
    const { dir, offer: { size } } = this.#init
    const { bavail, bsize } = await statfs(dir)

    if (size - part.size > bavail * bsize) {
      throw new Error(`it has ${bytesInWords(size)}, and there is room for ${bytesInWords(bavail * bsize)} in ${dir}`)
    }
  }

  #accept (part: Part): IncomingTransfer {
    const { name, offer, signal, print } = this.#init
    const what = clipped(name, NAME_WIDTH)

    this.#incoming = offer.accept({
      have: part.size > 0 ? part.read() : undefined,
      signal,
      onProgress: ({ bytes }) => { void print({ type: 'progress', what, done: bytes, total: offer.size }) }
    })
    return this.#incoming
  }

  async #write (incoming: IncomingTransfer): Promise<void> {
    const { print } = this.#init
    this.#from = await incoming.from()
    const part = this.#part = await this.#begun(this.#part as Part)
    await print({ ...this.#event, is: 'begun' })
    // the sender hears that all was taken when more is asked for: by then it has its name
    await this.#finishIfWhole(part)

    for await (const chunk of incoming) {
      await part.append(chunk)
      await this.#finishIfWhole(part)
    }
  }

  /**
   * A part of that name may be another file, also one of the user: the transfer continues only a part that begins like
   * the payload
   */
  async #begun (part: Part): Promise<Part> {
    const [usual] = this.#places

    if (this.#from === 0 && part.size > 0 && part.path === usual) {
      await part.close()
      return this.#openOwn()
    }

    await part.cut(this.#from)
    return part
  }

  async #finishIfWhole (part: Part): Promise<void> {
    const { name, dir, offer: { size }, print } = this.#init

    if (part.size === size) {
      const path = await part.finish(dir, name)
      const seconds = (performance.now() - this.#since) / 1_000
      this.#isStored = true
      await print({ ...this.#event, is: 'stored', path, seconds })
    }
  }

  get #event (): Omit<FileEvent, 'is'> {
    const { name, offer: { from, size } } = this.#init
    return { type: 'file', direction: 'in', peer: from.toString(), name, size, from: this.#from }
  }

  async #failed (err: Error): Promise<void> {
    const { name, offer, signal, print } = this.#init
    const part = this.#part
    const wasAccepted = this.#incoming != null
    offer.reject()

    // what is whole is here, even if its sender has gone without hearing that
    if (!this.#isStored) {
      await part?.discard().catch(() => {})
    }
    // who waits with the same, and who ended this, knows
    if (!this.#isStored && !this.isAwaited && !signal.aborted) {
      const what = `${clipped(name, NAME_WIDTH)} from ${short(offer.from)}`
      const kept = part == null || part.size === 0 ? '' : `; ${bytesInWords(part.size)} are here, sent again it goes on`
      const message = `${wasAccepted ? 'Interrupted' : 'Rejected'}: ${what}: ${this.#reasonOf(err)}${kept}`
      await print({ type: 'note', message })
    }
  }

  #reasonOf (err: Error & { code?: string }): string {
    const { dir, offer } = this.#init

    switch (err.code) {
      case 'ENOSPC':
      case 'EDQUOT':
      case 'EFBIG':
        return `there is no more room in ${dir}`
      case 'ENOENT':
        return `${dir} is not there any more`
      case 'EACCES':
      case 'EPERM':
      case 'EROFS':
        return `nothing may be written in ${dir}`
      default:
        return oneLine(err).replace(offer.from.toString(), short(offer.from))
    }
  }
}
