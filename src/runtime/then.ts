/** Goes on with a value: at once, if it is there at once. What some platforms know at once, others only promise */
export function then<A, B> (value: A | Promise<A>, next: (value: A) => B | Promise<B>): B | Promise<B> {
  return value instanceof Promise ? value.then(next) : next(value)
}
