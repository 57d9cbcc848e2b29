import { execFile, spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

/** A network that has nothing but loopback, with multicast on it */
const LOOPBACK_ONLY = 'ip link set lo up && ip link set lo multicast on && ip route add 224.0.0.0/4 dev lo'
const PEERS = fileURLToPath(new URL('lan.ts', import.meta.url))

describe('recipe: peers of a LAN are found by mDNS', function () {
  this.timeout(60_000)

  before(function () {
    if (spawnSync('unshare', inNamespace(LOOPBACK_ONLY)).status !== 0) {
      // it would ask all that are on the LAN of whoever runs the tests
      this.skip()
    }
  })

  it('two that know nothing of each other share a log', async () => {
    await promisify(execFile)('unshare', inNamespace(`${LOOPBACK_ONLY} && exec "$0" "$@"`, process.execPath, ...process.execArgv, PEERS), { timeout: 40_000 })
  })
})

function inNamespace (script: string, ...args: string[]): string[] {
  return ['--map-root-user', '--net', '--', 'sh', '-c', script, ...args]
}
