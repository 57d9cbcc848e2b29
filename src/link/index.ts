/** One neighbour as one object: the stream to it, the frames that wait for it, and its faults. */
export { encodeFrame, frameOf, Kind } from './core/frames.ts'
export { Lane } from './core/outbox.ts'
export { Neighbours } from './neighbours.ts'
export type { Frame } from './core/frames.ts'
export type { Entry } from './core/outbox.ts'
export type { Neighbour, NeighbourHandlers } from './neighbour.ts'
export type { NeighboursComponents } from './neighbours.ts'
