import { access, constants, stat } from 'node:fs/promises'
import { basename } from 'node:path'
import { peerIdFromString } from '@libp2p/peer-id'
import { multiaddr } from '@multiformats/multiaddr'
import { MAX_TRANSFER_SIZE } from 'libp2p-sheaf'
import { FailedError, oneLine, UsageError } from './errors.ts'
import { isSafeName } from './file-name.ts'
import { MEMORY } from './flags.ts'
import { bytesInWords, fileInWords, quote } from './text.ts'
import type { ProcessCommand } from './command.ts'
import type { Options } from './flags.ts'
import type { Terminal } from './terminal.ts'
import type { PeerId } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'

export const send: ProcessCommand = {
  takes: 'FILE ADDRESS',
  about: 'send a file to whoever runs sheaf receive',
  more: `Sends a file to a node that runs 'sheaf receive', which prints the ADDRESS. The command ends when the other
side has all of the file, verified and stored. If either side is interrupted, run it again: what is there already is not
sent again. Where the other side cannot be reached, --join a node that both can reach, such as a 'sheaf peer', which
hands on what goes from one to the other; then ADDRESS may be the id of the other side alone.`,
  examples: [
    ['sheaf send photo.jpg /ip4/192.0.2.7/tcp/4001/p2p/12D3KooW...', 'as the other side prints it'],
    ['sheaf send photo.jpg 12D3KooW... --join /ip4/192.0.2.1/tcp/4001', 'by way of another node']
  ],
  flags: ['join', 'json', 'help'],
  isEndless: () => false,
  run,
  words: event => event.type === 'file' ? fileInWords(event) : undefined
}

export interface SentFile {
  path: string
  name: string
  size: number
}

/** Whom a file is for, and where that one is, if that was said */
export interface Receiver {
  peerId: PeerId
  address?: Multiaddr
}

async function run ({ texts, join }: Options, terminal: Terminal, signal: AbortSignal): Promise<void> {
  const [path, address] = texts

  if (texts.length !== 2) {
    throw new UsageError("send takes a FILE and the ADDRESS that 'sheaf receive' prints at the other side")
  }

  const receiver = receiverAt(address, join.length > 0)
  const file = await fileAt(path)
  // all that takes a while to load: help and mistakes do without it
  const [{ openNode }, { Dispatch, reach }] = await Promise.all([import('./node.ts'), import('./dispatch.ts')])
  const { node, close } = await openNode({ store: MEMORY, listen: [] })

  try {
    await reach(node, receiver, join, signal)
    await new Dispatch(node, file, receiver.peerId, terminal, signal).run()
  } finally {
    await close()
  }
}

async function fileAt (path: string): Promise<SentFile> {
  const found = await stat(path).catch(err => {
    throw new FailedError(err.code === 'ENOENT'
      ? `There is no file ${path}`
      : `${path} cannot be read (${oneLine(err)})`)
  })
  const name = basename(path)

  if (found.isDirectory()) {
    const pack = `tar -czf ${quote(`${name}.tar.gz`)} ${quote(path)}`
    throw new FailedError(`${path} is a directory: pack it, as with ${pack}, and send that`)
  }
  if (!found.isFile()) {
    throw new FailedError(`${path} is no file, but a device or a pipe: send a file`)
  }
  if (!isSafeName(name)) {
    throw new FailedError(`${path} has a name that is hidden, begins with '-' or has strange letters: ` +
      'rename it, and send that')
  }
  if (found.size > MAX_TRANSFER_SIZE) {
    throw new FailedError(`${path} has ${bytesInWords(found.size)}, ` +
      `and ${bytesInWords(MAX_TRANSFER_SIZE)} is the most: split it`)
  }

  await access(path, constants.R_OK).catch(err => { throw new FailedError(`${path} cannot be read (${oneLine(err)})`) })
  return { path, name, size: found.size }
}

/** An address that ends with whose it is, or behind a relay only that */
function receiverAt (text: string, isRelayed: boolean): Receiver {
  if (!text.startsWith('/') && !isRelayed) {
    throw new UsageError(`send takes an ADDRESS that begins with a slash, not '${text}'; an id alone goes with --join`)
  }

  try {
    if (!text.startsWith('/')) {
      return { peerId: peerIdFromString(text) }
    }

    const address = multiaddr(text)
    const id = address.getComponents().findLast(({ name }) => name === 'p2p')?.value
    return { peerId: peerIdFromString(id ?? ''), address }
  } catch {
    throw new UsageError(`send takes an ADDRESS that ends with /p2p/ID, as 'sheaf receive' prints it, not '${text}'`)
  }
}
