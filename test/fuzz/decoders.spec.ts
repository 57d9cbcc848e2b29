import { expect } from 'aegir/chai'
import { compare } from 'uint8arrays/compare'
import { decodeHello } from '../../src/link/channel.ts'
import { FrameParser, Slots } from '../../src/link/core/frames.ts'
import { publicKeyOf, readEnvelope } from '../../src/pubsub/envelope.ts'
import * as wire from '../../src/pubsub/wire.ts'
import { decodeSymbols } from '../../src/replication/core/sketch.ts'
import { readDocument } from '../../src/replication/documents.ts'
import { decodeMessage, encodeMessage } from '../../src/replication/wire.ts'
import { MalformedError } from '../../src/runtime/errors.ts'
import * as transfers from '../../src/transfer/wire.ts'
import { IS_LONG } from '../fixtures/effort.ts'
import { LOG_HASH, makeCorpus } from './corpus.ts'
import { Mutator } from './mutate.ts'
import type { Corpus } from './corpus.ts'

/** How many broken frames, all decoders together, and how chance begins: FUZZ_RUNS=... FUZZ_SEED=... replays a run */
const RUNS = setting('FUZZ_RUNS', IS_LONG ? 1_000_000 : 50_000)
const SEED = setting('FUZZ_SEED', 1)

function setting (name: string, otherwise: number): number {
  const value = typeof process === 'undefined' ? undefined : process.env?.[name]
  return value == null || value === '' ? otherwise : Number(value)
}

const MAX_FRAME = 8192

interface Target {
  corpus (corpus: Corpus): Uint8Array[]
  /** Its share of all runs */
  share: number
  decode (bytes: Uint8Array, mutator: Mutator): void
}

const targets: Record<string, Target> = {
  'a stream of frames': {
    share: 4,
    corpus: corpus => corpus.frames,
    decode: (bytes, mutator) => {
      let last = 0
      const parser = new FrameParser(MAX_FRAME, (_, body, length) => {
        last = length
        expectWithin(body, bytes.byteLength)
      })
      for (const chunk of mutator.cut(bytes)) {
        parser.push(chunk)
        if (!(parser.heldBytes >= 0 && parser.heldBytes <= bytes.byteLength && last <= bytes.byteLength)) {
          throw new Error(`${parser.heldBytes} bytes are held of ${bytes.byteLength}`)
        }
      }
    }
  },
  'pieces of large frames': {
    share: 1,
    corpus: corpus => corpus.frames,
    decode: (bytes, mutator) => {
      const slots = new Slots({ maxFrame: MAX_FRAME, onFrame: (_, body) => { expectWithin(body, bytes.byteLength) } })
      for (const chunk of mutator.cut(bytes)) {
        slots.push(chunk)
        if (slots.heldBytes > bytes.byteLength) {
          throw new Error(`${slots.heldBytes} bytes are held of ${bytes.byteLength}`)
        }
      }
    }
  },
  'a hello': { share: 1, corpus: corpus => corpus.hellos, decode: bytes => { wire.decodeGreeting(decodeHello(bytes).greeting) } },
  'a greeting': { share: 1, corpus: corpus => corpus.greetings, decode: bytes => { isSane(wire.decodeGreeting(bytes).epoch) } },
  gossip: {
    share: 3,
    corpus: corpus => corpus.gossips,
    decode: bytes => {
      const { ack, updates, wanted } = wire.decodeGossip(bytes)
      isSane(ack + 1)
      ;[...updates, ...wanted].forEach(({ epoch, seq, hops }) => { [epoch, seq, hops].forEach(isSane) })
      updates.flatMap(({ announcements }) => announcements).forEach(announcement => { isSane(wire.decodeAnnouncement(readEnvelope(announcement).content).seq) })
    }
  },
  'an announcement': { share: 1, corpus: corpus => corpus.announcements, decode: bytes => { isSane(wire.decodeAnnouncement(bytes).seq) } },
  'a message': {
    share: 2,
    corpus: corpus => corpus.messages,
    decode: bytes => {
      const { seq, data } = wire.decodeMessage(bytes)
      isSane(seq)
      expectWithin(data, bytes.byteLength)
    }
  },
  'an envelope': {
    share: 2,
    corpus: corpus => corpus.envelopes,
    decode: bytes => {
      const envelope = readEnvelope(bytes)
      isSane(envelope.epoch)
      publicKeyOf(envelope)
    }
  },
  'a parcel': {
    share: 3,
    corpus: corpus => corpus.parcels,
    decode: bytes => {
      const { trace, envelope } = wire.decodeParcel(bytes)
      trace.forEach(isSane)
      const { content } = readEnvelope(envelope)
      wire.topicOfBundle(content)
      wire.decodeBundle(content)
    }
  },
  'a bundle': { share: 2, corpus: corpus => corpus.bundles, decode: bytes => { wire.decodeBundle(bytes).messages.forEach(({ seq }) => { isSane(seq) }) } },
  'a receipt': { share: 2, corpus: corpus => corpus.receipts, decode: bytes => { wire.decodeReceipt(bytes).seqs.forEach(isSane) } },
  'a list of flows': { share: 1, corpus: corpus => corpus.flows, decode: bytes => { wire.decodeFlows(bytes).forEach(({ bytes }) => { isSane(bytes) }) } },
  'a message about a log': {
    share: 4,
    corpus: corpus => corpus.logMessages,
    decode: bytes => {
      const message = decodeMessage(bytes)
      isSane('number' in message ? message.number : 0)

      // it has one spelling
      if (compare(encodeMessage(message), bytes) !== 0) {
        throw new Error('it is written otherwise than it was read')
      }
      if (message.type === 'answer' && message.answer.kind === 'symbols') {
        decodeSymbols(message.answer.symbols)
      }
    }
  },
  'a message about a transfer': {
    share: 4,
    corpus: corpus => corpus.transferMessages,
    decode: bytes => {
      const message = transfers.decodeMessage(bytes)
      const numbers = {
        offer: (): number[] => message.type === 'offer' ? [message.terms.size ?? 0] : [],
        status: () => message.type === 'status'
          ? [message.status.number, message.status.echo, message.status.horizon, ...message.status.wanted.flatMap(({ from, to }) => [from, to, to - from - 1])]
          : [],
        data: () => message.type === 'data' ? [message.offset, message.bytes.byteLength - 1, 65_536 - message.bytes.byteLength] : [],
        probe: () => message.type === 'probe' ? [message.question, message.end?.size ?? 0] : [],
        end: () => message.type === 'end' ? [message.reason, transfers.EndReason.TOO_LARGE - message.reason] : []
      }
      numbers[message.type]().forEach(isSane)

      // it has one spelling, but for reasons that a later version may have
      if (message.type !== 'end' && compare(transfers.encodeMessage(message), bytes) !== 0) {
        throw new Error('it is written otherwise than it was read')
      }
    }
  },
  'a document of what a peer keeps': {
    share: 2,
    corpus: corpus => corpus.documents,
    decode: bytes => {
      const { document, envelope } = readDocument(bytes, LOG_HASH)
      isSane(document.sequence)
      isSane(document.epoch)
      document.segments.forEach(({ from, width }) => { isSane(Math.min(from, width - 1)) })
      publicKeyOf(envelope)
    }
  }
}

const SHARES = Object.values(targets).reduce((sum, { share }) => sum + share, 0)

function isSane (value: number): void {
  if (!Number.isSafeInteger(value) || value < 0) {
    throw new Error(`${value} is no number that a decoder may hand out`)
  }
}

function expectWithin (part: Uint8Array, length: number): void {
  if (part.byteLength > length) {
    throw new Error(`${part.byteLength} bytes came out of ${length}`)
  }
}

describe(`broken input (FUZZ_SEED=${SEED}, FUZZ_RUNS=${RUNS})`, function () {
  this.timeout(300_000)
  const made = makeCorpus('topic')

  for (const [name, target] of Object.entries(targets)) {
    it(`as ${name}: is malformed or taken, and nothing else`, async () => {
      const mutator = new Mutator(SEED)
      const good = target.corpus(await made)
      const runs = Math.ceil(RUNS * target.share / SHARES)
      let taken = 0

      for (let run = 0; run < runs; run++) {
        mutator.begin(run)
        const bytes = mutator.mutate(good)

        try {
          target.decode(bytes, mutator)
          taken++
        } catch (err: any) {
          if (!(err instanceof MalformedError)) {
            throw new Error(`FUZZ_SEED=${SEED}, run ${run}, ${[...bytes].join()}: ${err.stack}`)
          }
        }
      }

      // what is always taken or always refused was not tested
      expect(taken).to.be.within(1, runs - 1)
    })
  }
})
