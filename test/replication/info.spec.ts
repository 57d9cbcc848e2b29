import { expect } from 'aegir/chai'
import fc from 'fast-check'
import { MAX_DELTAS, applyDocument, bytesOf, isNewer } from '../../src/replication/core/info.ts'
import { RING, normalize } from '../../src/replication/core/ring.ts'
import { delta, full, lettersAfter, lettersOf, segmentsOf, summary } from './model/documents.ts'
import { storyOf } from './model/stories.ts'
import type { Document, Info } from '../../src/replication/core/info.ts'

/** What is known after these, and what became of the last */
function after (...documents: Document[]): { info?: Info, last?: string } {
  let info: Info | undefined
  let last: string | undefined

  for (const document of documents) {
    const applied = applyDocument(info, document)
    info = applied.type === 'new' ? applied.info : info
    last = applied.type
  }

  return { info, last }
}

function known (...documents: Document[]): string {
  const { info, last } = after(...documents)
  return `${last}: ${info == null ? 'nothing' : `${info.epoch}.${info.sequence} ${lettersOf(info.segments)}`}`
}

describe('what a peer says it keeps', () => {
  it('is as new as its life, then as its number in it', () => {
    expect(isNewer({ epoch: 2, sequence: 1 }, { epoch: 1, sequence: 9 })).to.equal(true)
    expect(isNewer({ epoch: 1, sequence: 9 }, { epoch: 2, sequence: 1 })).to.equal(false)
    expect(isNewer({ epoch: 1, sequence: 2 }, { epoch: 1, sequence: 1 })).to.equal(true)
    expect(isNewer({ epoch: 1, sequence: 1 }, { epoch: 1, sequence: 1 })).to.equal(false)
    // epochs are times in milliseconds, and more than 32 bits
    expect(isNewer({ epoch: 2 ** 53 - 1, sequence: 0 }, { epoch: 2 ** 53 - 2, sequence: 2 ** 32 })).to.equal(true)
  })

  it('is what a full document says, whatever was before', () => {
    expect(known(full('p', 1, 1, 'ab'))).to.equal('new: 1.1 ab')
    expect(known(full('p', 1, 1, 'ab'), full('p', 1, 5, 'c'))).to.equal('new: 1.5 c')
    expect(known(full('p', 1, 9, 'ab'), full('p', 2, 1, 'c'))).to.equal('new: 2.1 c')
  })

  it('is nothing when it stops, which is a document like others', () => {
    expect(known(full('p', 1, 1, 'ab'), full('p', 1, 2, ''))).to.equal('new: 1.2 ')
    expect(known(full('p', 1, 1, 'ab'), full('p', 1, 2, ''), full('p', 1, 1, 'ab'))).to.equal('old: 1.2 ')
    expect(known(full('p', 1, 1, 'ab'), full('p', 1, 2, ''), delta('p', 1, 3, 'c'))).to.equal('new: 1.3 c')
  })

  it('is changed by a document that stands on the newest: what it adds counts more than what it removes', () => {
    expect(known(full('p', 1, 1, 'ab'), delta('p', 1, 2, 'c', 'a'))).to.equal('new: 1.2 bc')
    expect(known(full('p', 1, 1, 'ab'), delta('p', 1, 2, 'a', 'ab'))).to.equal('new: 1.2 a')
    expect(known(full('p', 1, 1, 'ab'), delta('p', 1, 2, '', 'abc'))).to.equal('new: 1.2 ')
    expect(known(full('p', 1, 1, 'a'), delta('p', 1, 7, 'b', '', 1))).to.equal('new: 1.7 ab')
  })

  it('is not changed by what is not newer', () => {
    expect(known(full('p', 1, 2, 'a'), full('p', 1, 2, 'b'))).to.equal('old: 1.2 a')
    expect(known(full('p', 1, 2, 'a'), full('p', 1, 1, 'b'))).to.equal('old: 1.2 a')
    expect(known(full('p', 2, 1, 'a'), full('p', 1, 9, 'b'))).to.equal('old: 2.1 a')
    expect(known(full('p', 1, 1, 'a'), delta('p', 1, 2, 'b'), delta('p', 1, 2, 'b'))).to.equal('old: 1.2 ab')
  })

  it('has a gap where a change stands on what is not here', () => {
    expect(known(delta('p', 1, 2, 'a'))).to.equal('gap: nothing')
    expect(known(full('p', 1, 1, 'a'), delta('p', 1, 3, 'b'))).to.equal('gap: 1.1 a')
    // on a document of its own life, not on one of the same number
    expect(known(full('p', 1, 1, 'a'), delta('p', 2, 2, 'b'))).to.equal('gap: 1.1 a')
    expect(known(full('p', 1, 3, 'a'), delta('p', 1, 4, 'b', '', 1))).to.equal('gap: 1.3 a')
  })

  it('has to be said in full again after so many changes', () => {
    const changes = Array.from({ length: MAX_DELTAS + 1 }, (_, i) => delta('p', 1, i + 2, 'b'))

    expect(known(full('p', 1, 1, 'a'), ...changes.slice(0, MAX_DELTAS))).to.equal(`new: 1.${MAX_DELTAS + 1} ab`)
    expect(known(full('p', 1, 1, 'a'), ...changes)).to.equal(`gap: 1.${MAX_DELTAS + 1} ab`)
    expect(known(full('p', 1, 1, 'a'), ...changes, full('p', 1, 20, 'c'))).to.equal('new: 1.20 c')
  })

  it('can be told to somebody else, with the documents that it rests on', () => {
    const documents = [full('p', 1, 1, 'a'), delta('p', 1, 2, 'b'), delta('p', 1, 3, 'c', 'a')]
    const { info } = after(full('p', 1, 0, 'abc'), ...documents)

    expect(info?.documents).to.deep.equal(documents.map(({ bytes }) => bytes))
    expect(bytesOf(info)).to.equal(documents.reduce((sum, { bytes }) => sum + bytes.byteLength, 0))
    expect(bytesOf(undefined)).to.equal(0)
    expect(after(...documents).info).to.deep.equal(info)
  })

  it('has one form, in whatever form it was said', () => {
    const untidy = [{ from: 30, width: 10 }, { from: 0, width: 20 }, { from: 10, width: 20 }, { from: RING - 5, width: 5 }]

    expect(after({ ...full('p', 1, 1, ''), segments: untidy }).info?.segments).to.deep.equal(normalize(untidy))
  })

  it('leaves alone what it was made from', () => {
    const before = after(full('p', 1, 1, 'a')).info as Info
    applyDocument(before, delta('p', 1, 2, 'b', 'a'))

    expect(before).to.deep.equal({ epoch: 1, sequence: 1, segments: segmentsOf('a'), documents: [full('p', 1, 1, 'a').bytes] })
  })

  it('is the same in the end in whatever order and however often documents came, if the newest is asked for where there is a gap', () => {
    fc.assert(fc.property(storyOf('p').chain(said => fc.tuple(fc.constant(said), fc.array(fc.nat({ max: said.length - 1 }), { maxLength: 40 }))), ([said, order]) => {
      const all = summary(said)
      let info: Info | undefined

      for (const document of [...order.map(i => said[i]), ...said].flatMap(document => [document, document])) {
        const before = info
        const applied = applyDocument(info, document)

        if (applied.type === 'new') {
          expect(before == null || isNewer(applied.info, before)).to.equal(true)
          info = applied.info
        } else if (applied.type === 'gap') {
          const answered = applyDocument(info, all)
          expect(answered.type).to.equal('new')
          info = answered.type === 'new' ? answered.info : info
        }
      }

      expect(info?.sequence).to.equal(all.sequence)
      expect(lettersOf(info?.segments ?? [])).to.equal(lettersAfter(said))
    }))
  })
})
