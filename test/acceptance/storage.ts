import { until } from './until.ts'
import type { Context } from './browser.ts'
import type { World } from './world.ts'

/** Deletes all that a profile has stored but its key: no page of it may be open */
export async function loseStorage (world: World, { name, context }: { name: string, context: Context }): Promise<void> {
  const page = await world.page(name, 'services.html', context)
  await until('the script is there', async () => page.evaluate(() => 'page' in globalThis))
  await page.evaluate(async () => {
    const done = async <T> (request: IDBRequest<T>): Promise<T> => new Promise((resolve, reject) => {
      request.onsuccess = () => { resolve(request.result) }
      request.onerror = () => { reject(request.error ?? new Error('it fails')) }
    })

    for (const { name = '' } of await indexedDB.databases()) {
      if (name !== 'libp2p-sheaf-chat') {
        await done(indexedDB.deleteDatabase(name))
        continue
      }

      const database = await done(indexedDB.open(name))
      const store = database.transaction(name, 'readwrite').objectStore(name)

      for (const key of await done(store.getAllKeys())) {
        // where libp2p has it
        if (!/^\/(pkcs8|info)\//.test(String(key))) {
          await done(store.delete(key))
        }
      }

      database.close()
    }
  })
  await page.close()
}
