import { generateKeyPairFromSeed } from '@libp2p/crypto/keys'
import { defaultLogger } from '@libp2p/logger'
import { expect } from 'aegir/chai'
import { MemoryDatastore } from 'datastore-core'
import { Key } from 'interface-datastore'
import { fromString } from 'uint8arrays/from-string'
import { toString } from 'uint8arrays/to-string'
import { openLog } from '../../src/log/index.ts'
import { crc32 } from '../../src/runtime/crc32.ts'
import { ENTRIES, FINGERPRINT, HEADS, LOG_ID, STORED } from '../fixtures/store-v1.ts'
import type { Log } from '../../src/log/index.ts'

const KEY = new TextEncoder().encode('key')

async function openStored (stored: Record<string, string>): Promise<Log> {
  const datastore = new MemoryDatastore()

  for (const [key, value] of Object.entries(stored)) {
    datastore.put(new Key(key), fromString(value, 'base64pad'))
  }

  return openLog({ id: LOG_ID, datastore, privateKey: await generateKeyPairFromSeed('Ed25519', new Uint8Array(32).fill(1)), logger: defaultLogger() })
}

async function says (log: Log): Promise<string[]> {
  const lines: string[] = []
  for await (const { id, data } of log.entries()) {
    lines.push(`${id} ${new TextDecoder().decode(data)}`)
  }
  return lines
}

describe('a log that version 1 stored', () => {
  it('is opened as it was, and goes on', async () => {
    const log = await openStored(STORED)

    expect(await says(log)).to.deep.equal(ENTRIES)
    expect((await log.heads()).map(({ id }) => id.toString())).to.deep.equal(HEADS)
    expect(toString((await log.fingerprint({}, KEY)).fingerprint, 'base64pad')).to.equal(FINGERPRINT)
    expect(await log.marked('a program')).to.equal(4)

    const next = await log.append(new TextEncoder().encode('eight'))
    expect(next.previous?.toString()).to.equal(ENTRIES[ENTRIES.length - 1].split(' ')[0])
    expect((await says(log)).length).to.equal(ENTRIES.length + 1)
    await log.close()
  })

  it('is refused by name when a later version wrote its state, its journal or a page of it', async () => {
    for (const part of ['/state', '/journal/', '/page/ring']) {
      const key = Object.keys(STORED).find(key => key.includes(part)) ?? ''
      const refused = openStored({ ...STORED, [key]: ofVersion2(STORED[key]) }).then(says)

      await expect(refused, key).to.eventually.be.rejected.with.property('name', 'StoreCorruptError')
    }
  })

  it('is refused by name when its state is torn, and without its last record when that is', async () => {
    const state = Object.keys(STORED).find(key => key.includes('/state')) ?? ''
    const record = Object.keys(STORED).find(key => key.includes('/journal/')) ?? ''

    await expect(openStored({ ...STORED, [state]: STORED[state].slice(0, -8) })).to.eventually.be.rejected.with.property('name', 'StoreCorruptError')
    expect(await says(await openStored({ ...STORED, [record]: STORED[record].slice(0, -8) }))).to.deep.equal(ENTRIES.slice(0, -1))
  })
})

/** With a checksum that is right */
function ofVersion2 (value: string): string {
  const bytes = fromString(value, 'base64pad')
  const end = bytes.byteLength - 4
  bytes[0]++
  new DataView(bytes.buffer, bytes.byteOffset).setUint32(end, crc32(bytes.subarray(0, end)), true)
  return toString(bytes, 'base64pad')
}
