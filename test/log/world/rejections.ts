/** Notes what nobody handles, in Node and in browsers, until it is stopped */
export function watchRejections (): { stop (): string[] } {
  const seen: string[] = []
  const note = (reason: any): void => { seen.push(`nobody handles ${reason?.stack ?? reason}`) }

  if (typeof process !== 'undefined' && typeof process.on === 'function') {
    process.on('unhandledRejection', note)
    return {
      stop: () => {
        process.off('unhandledRejection', note)
        return seen
      }
    }
  }

  const onEvent = ({ reason }: PromiseRejectionEvent): void => { note(reason) }
  globalThis.addEventListener('unhandledrejection', onEvent)
  return {
    stop: () => {
      globalThis.removeEventListener('unhandledrejection', onEvent)
      return seen
    }
  }
}
