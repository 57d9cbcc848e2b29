import { expect } from 'aegir/chai'
import fc from 'fast-check'
import { fromString } from 'uint8arrays/from-string'
import { toString } from 'uint8arrays/to-string'
import { addLanes, chachaBlock, expandId, LANES } from '../../../src/storage/core/fingerprint.ts'

const anyId = fc.uint8Array({ minLength: 32, maxLength: 32 })

function lanesOf (id: Uint8Array): Uint32Array {
  const lanes = new Uint32Array(LANES)
  expandId(id, 0, lanes)
  return lanes
}

function sumOf (ids: Uint8Array[]): Uint32Array {
  const sum = new Uint32Array(LANES)
  ids.forEach(id => { addLanes(sum, 0, lanesOf(id)) })
  return sum
}

/** As a stream cipher writes it */
function stream (lanes: Uint32Array): string {
  const view = new DataView(new ArrayBuffer(lanes.byteLength))
  lanes.forEach((lane, i) => { view.setUint32(i * 4, lane, true) })
  return toString(new Uint8Array(view.buffer), 'base16')
}

describe('lanes', () => {
  it('come of the block function of RFC 8439, 2.3.2', () => {
    const state = [
      0x61707865, 0x3320646e, 0x79622d32, 0x6b206574,
      0x03020100, 0x07060504, 0x0b0a0908, 0x0f0e0d0c,
      0x13121110, 0x17161514, 0x1b1a1918, 0x1f1e1d1c,
      0x00000001, 0x09000000, 0x4a000000, 0x00000000
    ]
    const block = new Uint32Array(20)
    chachaBlock(Uint32Array.from(state), block, 3)

    expect([...block]).to.deep.equal([
      0, 0, 0,
      0xe4e7f110, 0x15593bd1, 0x1fdd0f50, 0xc47120a3,
      0xc7f4d1c7, 0x0368c033, 0x9aaa2204, 0x4e6cd4c3,
      0x466482d2, 0x09aa9f07, 0x05d7c214, 0xa2028bd9,
      0xd19c12b5, 0xb94e16de, 0xe883d0cb, 0x4e3c50a2,
      0
    ])
  })

  it('are the first 256 bytes of the key stream of the id', () => {
    // RFC 8439, A.1, vectors 1 and 2
    expect(stream(lanesOf(new Uint8Array(32))).slice(0, 256)).to.equal(
      '76b8e0ada0f13d90405d6ae55386bd28bdd219b8a08ded1aa836efcc8b770dc7' +
      'da41597c5157488d7724e03fb8d84a376a43b8f41518a11cc387b669b2ee6586' +
      '9f07e7be5551387a98ba977c732d080dcb0f29a048e3656912c6533e32ee7aed' +
      '29b721769ce64e43d57133b074d839d531ed1f28510afb45ace10a1f4b794d6f'
    )
    // from the chacha20 of OpenSSL: the last 32 bytes for the id 0001..1f
    const id = fromString('000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f', 'base16')
    expect(stream(lanesOf(id)).slice(-64)).to.equal('4df2f9bd5613d4b4ed952fd858cd1b984acbf8ff1fd1a7c806d81ca8e4ae3b2c')
  })

  it('are those of the id wherever it lies', () => {
    fc.assert(fc.property(anyId, fc.uint8Array({ maxLength: 9 }), (id, before) => {
      const lanes = new Uint32Array(LANES)
      expandId(Uint8Array.from([...before, ...id, 1, 2]), before.byteLength, lanes)
      expect(lanes).to.deep.equal(lanesOf(id))
    }), { numRuns: 50, seed: 1 })
  })

  it('add up to the same in any order, and what is added and taken away leaves nothing behind', () => {
    fc.assert(fc.property(fc.array(anyId, { maxLength: 20 }), fc.array(anyId, { maxLength: 5 }), (ids, others) => {
      const sum = sumOf([...others, ...ids])
      expect(sum).to.deep.equal(sumOf([...ids].reverse().concat(others)))

      others.forEach(id => { addLanes(sum, 0, lanesOf(id), 0, -1) })
      expect(sum).to.deep.equal(sumOf(ids))
    }), { numRuns: 50, seed: 1 })
  })

  it('are added in the place that is meant', () => {
    const sums = new Uint32Array(3 * LANES).fill(7)
    addLanes(sums, LANES, sums, 2 * LANES)

    expect([sums[LANES - 1], sums[LANES], sums[2 * LANES - 1], sums[2 * LANES]]).to.deep.equal([7, 14, 14, 7])
  })
})
