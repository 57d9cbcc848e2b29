import { generateKeyPairFromSeed } from '@libp2p/crypto/keys'
import { defaultLogger } from '@libp2p/logger'
import { expect } from 'aegir/chai'
import { MemoryDatastore } from 'datastore-core'
import { Key } from 'interface-datastore'
import { fromString } from 'uint8arrays/from-string'
import { toString } from 'uint8arrays/to-string'
import { openLog } from '../../src/log/index.ts'
import { crc32 } from '../../src/runtime/crc32.ts'
import * as v1 from '../fixtures/store-v1.ts'
import { ENTRIES, FINGERPRINT, HEADS, LOG_ID, STORED } from '../fixtures/store-v2.ts'
import type { Log } from '../../src/log/index.ts'
import type { Datastore } from 'interface-datastore'

const KEY = new TextEncoder().encode('key')

async function datastoreOf (stored: Record<string, string>): Promise<Datastore> {
  const datastore = new MemoryDatastore()

  for (const [key, value] of Object.entries(stored)) {
    await datastore.put(new Key(key), fromString(value, 'base64pad'))
  }

  return datastore
}

/** What lies in a store, as fixtures have it */
async function storedIn (datastore: Datastore): Promise<Record<string, string>> {
  const stored: Record<string, string> = {}
  for await (const { key, value } of datastore.query({})) {
    stored[key.toString()] = toString(value, 'base64pad')
  }
  return stored
}

async function openStored (datastore: Datastore, id = LOG_ID): Promise<Log> {
  return openLog({ id, datastore, privateKey: await generateKeyPairFromSeed('Ed25519', new Uint8Array(32).fill(1)), logger: defaultLogger() })
}

async function says (log: Log): Promise<string[]> {
  const lines: string[] = []
  for await (const { id, data } of log.entries()) {
    lines.push(`${id} ${data.byteLength > 100 ? `${data.byteLength} bytes` : new TextDecoder().decode(data)}`)
  }
  return lines
}

async function errorOf (opened: Promise<Log>): Promise<Error> {
  try {
    const log = await opened
    await log.close()
  } catch (err: any) {
    return err
  }
  throw new Error('it was opened')
}

describe('a log that version 2 stored', () => {
  it('is opened as it was, and goes on', async () => {
    const datastore = await datastoreOf(STORED)
    const log = await openStored(datastore)

    expect(await says(log)).to.deep.equal(ENTRIES)
    expect((await log.heads()).map(({ id }) => id.toString())).to.deep.equal(HEADS)
    expect(toString((await log.fingerprint({}, KEY)).fingerprint, 'base64pad')).to.equal(FINGERPRINT)
    expect([await log.marked('a program'), await log.marked('another')]).to.deep.equal([9, 0])
    expect(log.diagnostics().problems).to.deep.equal([])

    const next = await log.append(new TextEncoder().encode('next'))
    expect(next.previous?.toString()).to.equal(ENTRIES[ENTRIES.length - 1].split(' ')[0])
    expect(next.parents.map(id => id.toString())).to.deep.equal(HEADS)
    await log.close()
    const again = await openStored(datastore)
    expect((await says(again)).slice(0, -1)).to.deep.equal(ENTRIES)
    await again.close()
  })

  it('is opened as well from its records alone', async () => {
    const isRecord = /\/\w{4}r$/
    const log = await openStored(await datastoreOf(Object.fromEntries(Object.entries(STORED).filter(([key]) => isRecord.test(key)))))

    expect(await says(log)).to.deep.equal(ENTRIES)
    expect((await log.heads()).map(({ id }) => id.toString())).to.deep.equal(HEADS)
    expect(toString((await log.fingerprint({}, KEY)).fingerprint, 'base64pad')).to.equal(FINGERPRINT)
    await log.close()
  })

  it('is opened without its last record when that is torn', async () => {
    const key = Object.keys(STORED).filter(key => key.endsWith('r')).sort().at(-1) ?? ''
    const log = await openStored(await datastoreOf({ ...STORED, [key]: STORED[key].slice(0, -8) }))

    // that was a removal: of one that is there again, and of one that is
    expect(await says(log)).to.include.members(ENTRIES).and.have.lengthOf(ENTRIES.length + 2)
    await log.close()
  })
})

describe('a log that another version stored', () => {
  it('is refused by name where that is the first one, and nothing of it changes', async () => {
    const datastore = await datastoreOf(v1.STORED)
    const err = await errorOf(openStored(datastore, v1.LOG_ID))

    expect(err.name).to.equal('StoreVersionError')
    expect(err.message).to.include('open it with the release that wrote it').and.not.match(/drop|delete/)
    expect(await storedIn(datastore)).to.deep.equal(v1.STORED)
  })

  for (const [what, pattern] of [['manifest', /manifest\/1$/], ['last record', /00000001\/000gr$/], ['record after the checkpoint', /00000001\/000dr$/]] as const) {
    it(`is refused by name when a later version wrote its ${what}, and nothing of it changes`, async () => {
      const key = Object.keys(STORED).find(key => pattern.test(key)) ?? ''
      const stored = { ...STORED, [key]: ofNextVersion(STORED[key]) }
      const datastore = await datastoreOf(stored)
      const err = await errorOf(openStored(datastore))

      expect(err.name).to.equal('StoreVersionError')
      expect(err.message).to.match(/later release.*update/)
      expect(await storedIn(datastore)).to.deep.equal(stored)
    })
  }

  it('is refused by name when a later version wrote records, and has not come to write a manifest', async () => {
    const key = Object.keys(STORED).find(key => key.endsWith('00000000/0000r')) ?? ''
    const stored = { [key]: ofNextVersion(STORED[key]) }
    const datastore = await datastoreOf(stored)

    expect((await errorOf(openStored(datastore))).name).to.equal('StoreVersionError')
    expect(await storedIn(datastore)).to.deep.equal(stored)
  })
})

/** With a checksum that is right */
function ofNextVersion (value: string): string {
  const bytes = fromString(value, 'base64pad')
  const end = bytes.byteLength - 4
  bytes[0]++
  new DataView(bytes.buffer, bytes.byteOffset).setUint32(end, crc32(bytes.subarray(0, end)), true)
  return toString(bytes, 'base64pad')
}
