//! The page as a tree, read by an XML parser that refuses what is not well-formed.

use quick_xml::{
    Reader,
    events::{BytesStart, Event},
};

pub(crate) struct Element {
    pub(crate) name: String,
    pub(crate) attributes: Vec<(String, String)>,
    pub(crate) children: Vec<Element>,
    /// The text of this element and of all in it.
    pub(crate) text: String,
}

impl Element {
    pub(crate) fn parse(page: &str) -> Self {
        let mut reader = Reader::from_str(page);
        reader.config_mut().check_end_names = true;
        let mut open = vec![Self::new("document".to_owned(), Vec::new())];
        loop {
            match reader.read_event().expect("the page is well-formed") {
                Event::Start(start) => open.push(Self::of(&start)),
                Event::Empty(start) => {
                    let element = Self::of(&start);
                    open.last_mut().unwrap().children.push(element);
                }
                Event::End(_) => {
                    let closed = open.pop().unwrap();
                    let parent = open.last_mut().expect("each end has a start");
                    parent.text.push_str(&closed.text);
                    parent.children.push(closed);
                }
                Event::Text(text) => open.last_mut().unwrap().text.push_str(&text),
                Event::GeneralRef(name) => {
                    let character = match &*name {
                        "amp" => '&',
                        "lt" => '<',
                        "gt" => '>',
                        "quot" => '"',
                        "#39" | "apos" => '\'',
                        other => panic!("the entity {other} is not one of XML's"),
                    };
                    open.last_mut().unwrap().text.push(character);
                }
                Event::DocType(_) => {}
                Event::Eof => break,
                other => panic!("not expected on the page: {other:?}"),
            }
        }
        assert_eq!(open.len(), 1, "each start has an end");
        open.remove(0)
    }

    fn new(name: String, attributes: Vec<(String, String)>) -> Self {
        Self { name, attributes, children: Vec::new(), text: String::new() }
    }

    fn of(start: &BytesStart<'_>) -> Self {
        let attributes = start.attributes().map(|attribute| {
            let attribute = attribute.expect("attributes are well-formed and none is there twice");
            (attribute.key.as_ref().to_owned(), attribute.value.into_owned())
        });
        Self::new(start.name().as_ref().to_owned(), attributes.collect())
    }

    pub(crate) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn number(&self, name: &str) -> f64 {
        self.attribute(name).unwrap().parse().unwrap()
    }

    /// Every element below this one.
    pub(crate) fn all(&self) -> Vec<&Self> {
        self.children.iter().flat_map(|child| std::iter::once(child).chain(child.all())).collect()
    }

    pub(crate) fn named(&self, name: &str) -> Vec<&Self> {
        self.all().into_iter().filter(|element| element.name == name).collect()
    }

    /// The picture of that id.
    pub(crate) fn picture(&self, id: &str) -> &Self {
        let labelled = format!("{id}-title {id}-description");
        let is_it = |element: &&Self| element.attribute("aria-labelledby") == Some(&labelled);
        self.all().into_iter().find(is_it).expect("the picture is there")
    }

    /// The body rows of the table of that caption.
    pub(crate) fn rows(&self, caption: &str) -> Vec<&Self> {
        let is_it = |table: &&Self| table.children[0].text == caption;
        let table = self.named("table").into_iter().find(is_it).expect("the table is there");
        table.named("tbody")[0].named("tr")
    }

    /// The rectangles of that colour.
    pub(crate) fn rectangles(&self, fill: &str) -> Vec<&Self> {
        self.named("rect").into_iter().filter(|rect| rect.attribute("fill") == Some(fill)).collect()
    }
}
