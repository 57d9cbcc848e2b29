import { noise } from '@chainsafe/libp2p-noise'
import { yamux } from '@chainsafe/libp2p-yamux'
import { identify } from '@libp2p/identify'
import { tcp } from '@libp2p/tcp'
import { createLibp2p } from 'libp2p'
import { directSub, transfers } from 'libp2p-sheaf'
import type { Libp2p } from '@libp2p/interface'
import type { DirectSub, Transfers } from 'libp2p-sheaf'

/** A program of somebody else's, which speaks the protocol of the command and is not the command */
export type Stranger = Libp2p<{ pubsub: DirectSub, transfers: Transfers }>

const running = new Set<Stranger>()

export async function startStranger (): Promise<Stranger> {
  const node: Stranger = await createLibp2p({
    transports: [tcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    services: { identify: identify(), pubsub: directSub(), transfers: transfers() }
  })
  running.add(node)
  return node
}

/** For an `afterEach` */
export async function stopStrangers (): Promise<void> {
  const nodes = [...running]
  running.clear()
  await Promise.all(nodes.map(async node => node.stop()))
}
