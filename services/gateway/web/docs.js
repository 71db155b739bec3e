// SPDX-License-Identifier: Apache-2.0
// Search, copying, and links that open what they lead to. The page is complete without it.
"use strict";
(() => {
  const search = document.getElementById("search");
  const articles = [...document.querySelectorAll("article[data-words]")];
  const texts = new Map(articles.map((a) => [a, a.dataset.words.toLowerCase()]));
  const links = new Map([...document.querySelectorAll("nav li li a")].map((a) => [a.hash.slice(1), a.parentElement]));
  const none = document.getElementById("none");

  function filter() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const article of articles) {
      const fits = words.every((w) => texts.get(article).includes(w));
      article.hidden = !fits;
      const link = links.get(article.id);
      if (link) link.hidden = !fits;
      shown += fits;
    }
    for (const tag of document.querySelectorAll("section.tag")) {
      const inside = [...tag.querySelectorAll("article")];
      tag.hidden = words.length > 0 && (inside.length === 0 || inside.every((a) => a.hidden));
    }
    none.hidden = shown > 0;
  }
  search.addEventListener("input", filter);
  document.addEventListener("keydown", (event) => {
    const typing = /^(INPUT|TEXTAREA|SELECT)$/.test(document.activeElement.tagName);
    if (event.key === "/" && !typing) {
      event.preventDefault();
      search.focus();
    } else if (event.key === "Escape" && document.activeElement === search) {
      search.value = "";
      filter();
    }
  });

  // What was found by a link must not be hidden by the search, and shows its answer.
  function open() {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!target) return;
    if (target.hidden) {
      search.value = "";
      filter();
      target.scrollIntoView();
    }
  }
  addEventListener("hashchange", open);

  for (const button of document.querySelectorAll("button.copy")) {
    if (!navigator.clipboard) break;
    button.hidden = false;
    button.addEventListener("click", () => navigator.clipboard.writeText(button.previousElementSibling.textContent));
  }
})();
