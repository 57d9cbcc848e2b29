import { expect } from 'aegir/chai'
import { stopPeers } from '../fixtures/directsub.ts'
import { bytesOf, chain, nextOffer, rests } from '../fixtures/transfers.ts'

describe('transfers, over TCP', function () {
  this.timeout(60_000)
  afterEach(stopPeers)

  for (const hops of [2, 3]) {
    for (const confidential of [false, true]) {
      for (const size of [0, 1, 65_535, 65_536, 65_537, 1_000_000, 20_000_000]) {
        it(`${size} bytes arrive over ${hops - 1} hops ${confidential ? 'sealed' : 'in the clear'}`, async () => {
          const nodes = await chain(hops)
          const [a, b] = [nodes[0], nodes[hops - 1]]
          const payload = bytesOf(size)
          const offered = nextOffer(b)
          const began = performance.now()
          const sent = a.services.transfers.send(b.peerId, payload, { confidential })
          const offer = await offered
          expect(offer.size).to.equal(size)
          expect(offer.isConfidential).to.equal(confidential)
          const got = await offer.accept().bytes(1e9)
          await sent.done
          if (size > 1e6) { console.log(size / 1e3 / (performance.now() - began), 'MB/s') }
          expect(got.byteLength).to.equal(size)
          expect(Buffer.compare(got, payload)).to.equal(0)
          await rests(...nodes)
        })
      }
    }
  }
})
