/**
 * Whether what the packed documents link to is packed, too: npm run package-check
 */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join, posix } from 'node:path'

/** Of a link to a file: neither to another site nor to a place on the same page */
const LINK = /\]\((?!https?:|#)([^)#\s]+)(?:#[^)\s]*)?\)/g

/**
 * @param {string} dir
 * @returns {string[]}
 */
function broken (dir) {
  const [{ files }] = JSON.parse(execFileSync('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], {
    cwd: dir, encoding: 'utf8', maxBuffer: 2 ** 26, stdio: ['ignore', 'pipe', 'ignore']
  }))
  /** @type {string[]} */
  const paths = files.map((/** @type {{ path: string }} */ { path }) => path)

  return paths.filter(path => path.endsWith('.md')).flatMap(path => {
    const links = [...readFileSync(join(dir, path), 'utf8').matchAll(LINK)].map(([, link]) => link)
    return links
      .filter(link => !hasPath(paths, posix.join(posix.dirname(path), link)))
      .map(link => `${join(dir, path)} links to ${link}, which is not packed`)
  })
}

/**
 * @param {string[]} paths
 * @param {string} target - a file, or a folder that has some
 */
function hasPath (paths, target) {
  return paths.some(path => path === target || path.startsWith(`${target.replace(/\/$/, '')}/`))
}

const problems = ['.', 'cli'].flatMap(broken)
problems.forEach(problem => { console.error(problem) })
process.exitCode = problems.length === 0 ? 0 : 1
