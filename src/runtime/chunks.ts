/** As many at a time; the last ones may be fewer */
export function * chunks<T> (items: Iterable<T>, size: number): Generator<T[]> {
  let chunk: T[] = []

  for (const item of items) {
    if (chunk.push(item) === size) {
      yield chunk
      chunk = []
    }
  }

  if (chunk.length > 0) {
    yield chunk
  }
}
