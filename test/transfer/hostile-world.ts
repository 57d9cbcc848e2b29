import { expect } from 'aegir/chai'
import { EndReason } from '../../src/transfer/wire.ts'
import { TransferNet } from '../fixtures/transfer-net.ts'
import { bytesOf } from '../fixtures/transfers.ts'
import type { Message, Terms } from '../../src/transfer/wire.ts'
import type { NetNode } from '../fixtures/transfer-net.ts'

export const LEAF = 65_536
export const MIB = 1024 * 1024
export const ROOT = new Uint8Array(32).fill(7)

export function idOf (number: number): Uint8Array {
  const id = new Uint8Array(16)
  new DataView(id.buffer).setUint32(0, number)
  return id
}

export function terms (init: Partial<Terms> = {}): Terms {
  return { protocol: '', meta: new Uint8Array(), ...init }
}

export interface World {
  net: TransferNet
  /** Who is attacked, who means well, and who does not */
  victim: NetNode
  honest: NetNode
  hostile: NetNode
}

export async function world (): Promise<World> {
  const net = new TransferNet()
  const test = { net, victim: await net.node(), honest: await net.node(), hostile: await net.node() }
  test.hostile.isMute = true
  return test
}

/** What the victim said to the hostile peer */
export function heard ({ net, victim, hostile }: World): Message[] {
  return net.log.filter(({ from, to }) => from === victim && to === hostile).map(({ message }) => message)
}

export function reasons (world: World): EndReason[] {
  return heard(world).flatMap(message => message.type === 'end' ? [message.reason] : [])
}

/** An honest transfer works, at once */
export async function works ({ net, victim, honest }: World, size = 300_000): Promise<void> {
  victim.offers.length = 0
  const payload = bytesOf(size, 77)
  const sent = honest.transfers.send(victim.peerId, payload)
  const offer = await victim.offer()
  const got = offer.accept().bytes(size)
  const began = net.clock.now()
  expect(await net.outcome(sent.done)).to.deep.equal({ status: 'fulfilled', value: undefined })
  expect(Buffer.compare(await got, payload)).to.equal(0)
  expect(net.clock.now() - began).to.be.below(2000)
}
