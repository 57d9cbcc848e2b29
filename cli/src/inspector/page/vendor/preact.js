/** For the type checker: at this address the inspector serves the package itself */
export { h, render } from 'preact'
