import { isUtf8 } from 'node:buffer'
import { once } from 'node:events'
import { chmod, rm } from 'node:fs/promises'
import { connect, createServer } from 'node:net'
import { join, relative } from 'node:path'
import { multiaddr } from '@multiformats/multiaddr'
import { fromString } from 'uint8arrays/from-string'
import { toString } from 'uint8arrays/to-string'
import { FailedError, UsageError } from './errors.ts'
import { join as joinNodes, openLog } from './node.ts'
import { linesOf } from './text.ts'
import { WORKS } from './works.ts'
import type { WorkOptions } from './command.ts'
import type { Event } from './events.ts'
import type { OpenNode } from './node.ts'
import type { Server, Socket } from 'node:net'

/**
 * A store has one process at a time. Whoever has it does what other commands ask for, over a socket that lies beside
 * the store: who may not enter the directory cannot ask. A line of JSON for the request, one for each entry of the
 * input, a string or else bytes, and behind the last null, or why there are no more; back comes a line for each event,
 * and the last one says how it ended.
 */
export interface Request {
  work: keyof typeof WORKS
  log: string
  join: string[]
  options: WorkOptions
}

/** The input yields an entry, or the reason why the input ends too soon */
type Item = string | { bytes: string } | { failed: string }

type Ending = { type: 'end' } | { type: 'failed', message: string, isUsage: boolean }

const SOCKET_MODE = 0o600

const decoder = new TextDecoder('utf-8', { ignoreBOM: true })

/** The shorter way to it: sockets have short names */
function socketOf (dir: string): string {
  const path = join(dir, 'socket')
  const way = relative('', path)
  return way.length < path.length ? way : path
}

/** Until it is closed. Throws where a directory cannot have a socket */
export async function serve (dir: string, opened: OpenNode): Promise<() => Promise<void>> {
  const asked = new Map<Socket, Promise<void>>()
  const server = createServer(socket => {
    asked.set(socket, answer(socket, opened).finally(() => { asked.delete(socket) }))
  })
  await listen(server, socketOf(dir))

  return async () => {
    server.close()
    const answers = [...asked.values()]
    asked.forEach((_, socket) => { socket.destroy() })
    await Promise.all(answers)
  }
}

async function listen (server: Server, path: string): Promise<void> {
  // who has the store has the socket: one that lies there is of a process that was killed
  await rm(path, { force: true })
  server.listen(path)
  await once(server, 'listening')
  await chmod(path, SOCKET_MODE)
}

async function answer (socket: Socket, opened: OpenNode): Promise<void> {
  const gone = new AbortController()
  socket.once('close', () => { gone.abort() })
  // 'close' follows, and says all there is to say
  socket.on('error', () => {})
  const say = async (event: Event | Ending): Promise<void> => {
    if (!socket.write(`${JSON.stringify(event)}\n`)) {
      await once(socket, 'drain', { signal: gone.signal })
    }
  }

  try {
    await doWork(socket, opened, gone.signal, say)
    await say({ type: 'end' })
  } catch (err: any) {
    if (!gone.signal.aborted) {
      await say({ type: 'failed', message: err.message, isUsage: err instanceof UsageError }).catch(() => {})
    }
  } finally {
    socket.end()
  }
}

async function doWork (
  socket: Socket, opened: OpenNode, signal: AbortSignal, say: (event: Event) => Promise<void>
): Promise<void> {
  const { node, store } = opened
  const lines = linesOf(socket)
  const { work, log: id, join, options } = JSON.parse((await lines.next()).value as string) as Request
  const log = await openLog(opened, id)

  try {
    await joinNodes(node, log, join.map(address => multiaddr(address)), signal)

    for await (const event of WORKS[work].work({
      node, log, isJoined: join.length > 0, isRunning: true, store: store.dir, options, input: itemsOf(lines), signal
    })) {
      await say(event)
    }
  } finally {
    await log.close()
  }
}

async function * itemsOf (lines: AsyncGenerator<string>): AsyncGenerator<Uint8Array> {
  for (let line = await lines.next(); line.done !== true && line.value !== 'null'; line = await lines.next()) {
    const item = JSON.parse(line.value) as Item

    if (typeof item === 'string') {
      yield new TextEncoder().encode(item)
    } else if ('bytes' in item) {
      yield fromString(item.bytes, 'base64')
    } else {
      throw new FailedError(item.failed)
    }
  }
}

/** A way to whoever has the store; undefined: nobody answers there */
export async function reach (dir: string): Promise<Socket | undefined> {
  const socket = connect(socketOf(dir))

  try {
    await once(socket, 'connect')
    return socket
  } catch {
    // nobody has it any more, or not yet, or it is no node of ours
    return undefined
  }
}

export async function * ask (
  socket: Socket, request: Request, input: AsyncIterable<Uint8Array>, signal: AbortSignal
): AsyncGenerator<Event> {
  const stop = (): void => { socket.destroy() }
  signal.addEventListener('abort', stop)
  socket.on('error', () => {})
  socket.write(`${JSON.stringify(request)}\n`)
  // it ends with the connection, or with an input that fails, which ends the connection
  let failure: Error | undefined
  send(socket, input).catch(err => {
    failure = err
    socket.destroy()
  })

  try {
    for await (const line of linesOf(socket)) {
      const event = JSON.parse(line) as Event | Ending

      if (event.type === 'end') {
        return
      }
      if (event.type === 'failed') {
        throw new (event.isUsage ? UsageError : FailedError)(event.message)
      }
      yield event
    }
  } catch (err: any) {
    signal.throwIfAborted()
    throw err instanceof FailedError ? err : failure ?? cutOff()
  } finally {
    signal.removeEventListener('abort', stop)
    socket.destroy()
  }

  signal.throwIfAborted()
  throw failure ?? cutOff()
}

async function send (socket: Socket, input: AsyncIterable<Uint8Array>): Promise<void> {
  try {
    for await (const bytes of input) {
      if (!socket.writable) {
        return
      }
      if (!socket.write(`${JSON.stringify(itemOf(bytes))}\n`)) {
        await drained(socket)
      }
    }
    socket.write('null\n')
  } catch (err: any) {
    if (!(err instanceof FailedError)) {
      throw err
    }
    // the node knows what is stored by then, and says so
    socket.write(`${JSON.stringify({ failed: err.message } satisfies Item)}\n`)
  }
}

function itemOf (bytes: Uint8Array): Item {
  return isUtf8(bytes) ? decoder.decode(bytes) : { bytes: toString(bytes, 'base64') }
}

/** There is room again, or nobody who would make some */
async function drained (socket: Socket): Promise<void> {
  const over = new AbortController()

  try {
    await Promise.race(['drain', 'close'].map(async name => once(socket, name, { signal: over.signal })))
  } finally {
    // the other one is not waited for any more
    over.abort()
  }
}

const cutOff = (): FailedError => new FailedError('The node that has the store ended before this was done: ' +
  'what was printed holds, go on behind it')
