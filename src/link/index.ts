/**
 * One neighbour as one object: the streams to it, what waits to be sent, how it behaves.
 */
export { encodeFrame, frameOf, Kind } from './core/frames.ts'
export { Lane } from './core/outbox.ts'
export { Links } from './links.ts'
export type { Frame } from './core/frames.ts'
export type { Entry } from './core/outbox.ts'
export type { Link, LinkHandlers } from './link.ts'
export type { LinksComponents } from './links.ts'
