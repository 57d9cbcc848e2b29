/** Bytes that the name of a file may have: more than that no usual file system takes */
const MAX_BYTES = 255

/** Names that lead elsewhere, or that a terminal or a person reads as another name */
const UNSAFE = /[/\\\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}]/u

/** Windows takes them for a device, for a stream of another file, or for a name without its end */
const UNSAFE_ON_WINDOWS = /^(?:con|prn|aux|nul|com[\d\u00b9\u00b2\u00b3]|lpt[\d\u00b9\u00b2\u00b3])(?:\.|$)|[<>:"|?*]|[. ]$/i

const bytesOf = (text: string): number => new TextEncoder().encode(text).byteLength

/**
 * Whether it names a file in a directory, and one that a person sees there. A stranger may have chosen it: where a
 * command is handed all names of the directory, as by '*', one that begins with '-' would be an option
 */
export function isSafeName (name: unknown, platform = process.platform): name is string {
  return typeof name === 'string' && name !== '' && !/^[.-]/.test(name) && !UNSAFE.test(name) &&
    !(platform === 'win32' && UNSAFE_ON_WINDOWS.test(name)) && name.isWellFormed() && bytesOf(name) <= MAX_BYTES
}

/** Where a file lies while it is not all there. `tag`: when another one lies there */
export const partOf = (name: string, tag = ''): string => withEnd(name, `${tag}.part`)

/** Where there is such a name already: report-2.pdf, data-2.tar.gz */
export function numbered (name: string, number: number): string {
  const [, stem, extension = ''] = /^(.+?)((?:\.tar)?\.[^.]{1,16})?$/.exec(name) as RegExpExecArray
  return withEnd(stem, `-${number}${extension}`)
}

/** A file system has to take it, so a long name gives way */
function withEnd (name: string, end: string): string {
  const letters = [...name]

  while (bytesOf(letters.join('')) + bytesOf(end) > MAX_BYTES) {
    letters.pop()
  }
  return `${letters.join('')}${end}`
}
