/** Goes on with a value: at once, if it is there at once. What some platforms know at once, others only promise */
export function then<A, B> (value: A | Promise<A>, next: (value: A) => B | Promise<B>): B | Promise<B> {
  return value instanceof Promise ? value.then(next) : next(value)
}

/** All of them: at once, if all are there at once */
export function allOf<T> (values: Array<T | Promise<T>>): T[] | Promise<T[]> {
  return values.some(value => value instanceof Promise) ? Promise.all(values) : values as T[]
}
