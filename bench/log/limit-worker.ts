import crypto from 'node:crypto'
import { serve } from '../workers.ts'
import { levelAt } from './level.ts'
import { CONTENT_BYTES, DATA_BYTES, rateOf, STORED_BYTES } from './logs.ts'
import type { Place } from './workspace.ts'
import type { LevelDatastore } from 'datastore-level'

/** What is written to LevelDB at once */
const BATCH = 512

/** Verifications at once: enough for all threads that Node does them on */
const CHECKS = 64

const { privateKey, publicKey } = crypto.generateKeyPairSync('ed25519')
const message = crypto.randomBytes(DATA_BYTES)

/**
 * What the machine does of that which a log cannot do without: how often a second
 */
serve({
  async sign ({ count }: { count: number }) {
    return rateOf(count, () => {
      for (let i = 0; i < count; i++) {
        crypto.sign(null, message, privateKey)
      }
    })
  },

  /** On all threads, which is faster than on one */
  async verify ({ count }: { count: number }) {
    const signature = crypto.sign(null, message, privateKey)
    let left = count

    return rateOf(count, async () => {
      await Promise.all(Array.from({ length: CHECKS }, async () => {
        while (left-- > 0) {
          await verifyAside(signature)
        }
      }))
    })
  },

  async hash ({ count }: { count: number }) {
    const content = crypto.randomBytes(CONTENT_BYTES)

    return rateOf(count, () => {
      for (let i = 0; i < count; i++) {
        crypto.hash('sha256', content, 'buffer')
      }
    })
  },

  /** Many values in one batch, batch after batch */
  async write ({ place, count }: { place: Place, count: number }) {
    const batches = Array.from({ length: Math.ceil(count / BATCH) }, (_, i) => puts(Math.min(BATCH, count - i * BATCH)))

    return inLevel(place, async db => rateOf(count, async () => {
      for (const batch of batches) {
        await db.batch(batch)
      }
    }))
  },

  /** One signature and one value at a time */
  async signAndWrite ({ place, count }: { place: Place, count: number }) {
    const values = puts(count)

    return inLevel(place, async db => rateOf(count, async () => {
      for (const { key, value } of values) {
        crypto.sign(null, message, privateKey)
        await db.put(key, value)
      }
    }))
  }
})

function puts (count: number): Array<{ type: 'put', key: string, value: Uint8Array }> {
  const values = crypto.randomBytes(count * STORED_BYTES)

  return Array.from({ length: count }, (_, i) => ({
    type: 'put',
    key: crypto.randomBytes(32).toString('base64url'),
    value: values.subarray(i * STORED_BYTES, (i + 1) * STORED_BYTES)
  }))
}

async function inLevel<T> ({ dir }: Place, use: (db: LevelDatastore['db']) => Promise<T>): Promise<T> {
  const datastore = levelAt(dir)
  await datastore.open()
  const result = await use(datastore.db)
  await datastore.close()

  return result
}

async function verifyAside (signature: Uint8Array): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    crypto.verify(null, message, publicKey, signature, (err, isTrue) => {
      if (err == null && isTrue) {
        resolve()
      } else {
        reject(err ?? new Error('It is true'))
      }
    })
  })
}
