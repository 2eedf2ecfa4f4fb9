// Details beside the page: a dialog of the browser's own, so that the keyboard stays inside and Esc
// closes it.

import type { ComponentChildren } from "preact";
import { useEffect, useId, useRef } from "preact/hooks";

interface DrawerProps {
  title: ComponentChildren;
  close: () => void;
  actions?: ComponentChildren;
  children: ComponentChildren;
}

export function Drawer({ title, close, actions, children }: DrawerProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  const id = useId();
  useEffect(() => {
    const element = dialog.current;
    element?.showModal();
    return () => element?.close();
  }, []);
  return (
    <dialog
      ref={dialog}
      class="drawer"
      aria-labelledby={id}
      onCancel={(event) => {
        event.preventDefault();
        close();
      }}
      onClick={(event) => {
        if (event.target === dialog.current) close();
      }}
    >
      <div class="inside">
        <header>
          <h2 id={id} tabIndex={-1} autofocus>
            {title}
          </h2>
          <button type="button" class="quiet" onClick={close}>
            Close
          </button>
        </header>
        {actions !== undefined && <div class="actions">{actions}</div>}
        <div class="body">{children}</div>
      </div>
    </dialog>
  );
}
