/**
 * The command imports this before all else: what an older Node lacks fails somewhere, under another name. As `engines`
 * in package.json
 */
const [MAJOR, MINOR] = [22, 3]
const [major, minor] = process.versions.node.split('.').map(Number)

if (major < MAJOR || (major === MAJOR && minor < MINOR)) {
  const message = `sheaf needs Node ${MAJOR}.${MINOR} or later, and this is Node ${process.versions.node}: ` +
    'install a later one, see https://nodejs.org'
  process.stderr.write(`${process.argv.includes('--json') ? JSON.stringify({ type: 'error', message }) : message}\n`)
  process.exit(1)
}
