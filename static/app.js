/* Dialog, focus, copying, and words for when htmx fails. Each page works without it. */
"use strict";
(() => {
  const find = (css, root = document) => root.querySelector(css);
  const all = (css, root = document) => root.querySelectorAll(css);
  const on = (event, act) => document.addEventListener(event, act, true);
  const dialog = () => find("#dialog");
  let opener;
  let pressed;
  let closing;

  // An open dialog makes the rest of the page inert, so what failed is said inside it.
  const say = (text) => {
    const box = find("#dialog[open]");
    if (box && !find(".page-error", box)) box.insertAdjacentHTML("afterbegin", '<div class="page-error" role="alert"></div>');
    find(".page-error", box || document).textContent = text;
  };

  // What was typed must not outlive the dialog: neither in it nor where htmx parks what it preserves.
  const wipe = () => {
    for (const place of all("#dialog, #--htmx-preserve-pantry--")) {
      for (const field of all("[data-secret]", place)) field.value = "";
      place.replaceChildren();
    }
  };

  const settle = () => {
    const box = dialog();
    if (box && !box.open && !closing && box.firstElementChild) {
      box.showModal();
      (find("[autofocus]", box) || find("[name=name]", box) || find("h1", box))?.focus();
    }
    const summary = find(".error-summary:not([data-seen])");
    if (!summary) return;
    summary.dataset.seen = "";
    // A preserved field is the old element: it does not know the new errors.
    for (const field of all("[data-secret]", summary.closest("form") || document)) {
      const notes = [...all(`#${field.id}-hint, #${field.id}-error`)].map((note) => note.id);
      field.setAttribute("aria-invalid", !!find(`a[href="#${field.id}"]`, summary));
      field.setAttribute("aria-describedby", notes.join(" "));
    }
    summary.focus();
  };

  on("htmx:beforeRequest", ({ detail }) => {
    for (const region of all(".page-error")) region.textContent = "";
    if (detail.target === dialog() && !dialog().open) opener = detail.elt;
  });
  // The answer to a form whose dialog was closed meanwhile must not open it again.
  on("htmx:beforeSwap", ({ detail }) => {
    if (!detail.requestConfig.elt.isConnected && detail.target.closest("dialog")) detail.shouldSwap = false;
  });
  on("htmx:afterSettle", settle);
  on("closeDialog", () => { closing = dialog()?.open; dialog()?.close(); });
  on("close", ({ target }) => {
    if (target !== dialog()) return;
    closing = false;
    wipe();
    const menu = opener?.closest("[popover]");
    const back = menu ? find(`[popovertarget="${menu.id}"]`) : opener;
    (back?.isConnected ? back : find("main h1"))?.focus();
    opener = null;
  });

  // Our error pages say what is wrong; a proxy's do not.
  on("htmx:responseError", ({ detail: { xhr } }) => {
    const page = new DOMParser().parseFromString(xhr.responseText, "text/html");
    say(find("[data-error]", page)?.textContent || `The server did not do this (${xhr.status}). Reload to see what is saved.`);
  });
  on("htmx:sendError", () => say("No answer from the server. Check the connection and try again."));
  on("htmx:timeout", () => say("The server took too long. Reload to see what is saved."));

  on("pointerdown", ({ target }) => { pressed = target; });
  on("click", async (event) => {
    const { target } = event;
    const box = find("#dialog[open]");
    if (box && (target.closest("#dialog [data-close]") || (target === box && pressed === box))) {
      event.preventDefault();
      box.close();
    }
    // Not by the browser: its #hash would outlive the dialog.
    const link = target.closest(".error-summary a[href^='#']");
    if (link) {
      event.preventDefault();
      find(link.hash)?.focus();
    }
    const button = target.closest("[data-copy]");
    if (!button) return;
    const field = find(`#${button.dataset.copy}`);
    field.select();
    await navigator.clipboard.writeText(field.value);
    find("span", button).textContent = "Copied";
  });

  document.documentElement.classList.add("script");
  settle();
})();
