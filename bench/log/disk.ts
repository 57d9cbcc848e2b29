import { readFileSync } from 'node:fs'
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'

/**
 * Bytes that this process has handed to `write` since it began: `wchar`. `write_bytes` counts whole pages, and leaves
 * out files that are deleted before the system has written them. Between opening and closing a log all of `wchar` is
 * LevelDB's (its log, tables, manifest and notes), but for 8 bytes each time that a thread wakes the event loop. Only
 * Linux tells.
 */
export function writtenBytes (): number | undefined {
  if (process.platform !== 'linux') {
    return undefined
  }

  const bytes = /^wchar: (\d+)$/m.exec(readFileSync('/proc/self/io', 'utf8'))?.[1]

  return bytes == null ? undefined : Number(bytes)
}

/** Bytes of all files in a directory, those of directories in it as well */
export async function bytesIn (dir: string): Promise<number> {
  const files = (await readdir(dir, { recursive: true, withFileTypes: true })).filter(file => file.isFile())
  const sizes = await Promise.all(files.map(async ({ parentPath, name }) => (await stat(join(parentPath, name))).size))

  return sizes.reduce((sum, size) => sum + size, 0)
}
