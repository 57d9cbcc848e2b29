/**
 * What an older Node lacks fails somewhere, under another name: so each entry of the package imports this first. As
 * `engines` in package.json
 */
const [MAJOR, MINOR] = [22, 3]

/** This Node is older than the package needs */
export class UnsupportedNodeError extends Error {
  static name = 'UnsupportedNodeError'
  name = 'UnsupportedNodeError'
}

// browsers have none, or what a bundler took for one
const version = (globalThis as { process?: { versions?: { node?: string } } }).process?.versions?.node
const [major, minor] = (version ?? `${MAJOR}.${MINOR}`).split('.').map(Number)

if (major < MAJOR || (major === MAJOR && minor < MINOR)) {
  throw new UnsupportedNodeError(`libp2p-sheaf needs Node ${MAJOR}.${MINOR} or later, and this is Node ${version}: ` +
    'install a later one, see https://nodejs.org')
}
