import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import type { Plugin } from 'esbuild'

const here = (file: string): string => fileURLToPath(new URL(file, import.meta.url))

/** The scripts of the page, by their names: the page, and the worker in which its sessions compute keys */
export async function bundle (plugins: Plugin[] = []): Promise<Map<string, Uint8Array>> {
  const { outputFiles } = await build({
    entryPoints: { page: here('page.ts'), 'session-worker': 'libp2p-sheaf/session-worker' },
    absWorkingDir: here('.'),
    outdir: here('.'),
    bundle: true,
    format: 'esm',
    minify: true,
    write: false,
    logLevel: 'error',
    // the package as it is published, not its sources, which tsconfig.json names for the editor
    tsconfigRaw: {},
    plugins
  })

  return new Map(outputFiles.map(({ path, contents }) => [path.split(/[/\\]/).at(-1) ?? '', contents]))
}
