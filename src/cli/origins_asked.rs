//! `check-config --origins`: what the origins have for each definition. Every query is run for one name, and each error names its definition.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use futures_util::TryStreamExt;

use crate::{
    config::Config,
    engine::Chain,
    listing::{
        Definition, Field,
        definition::{Defined, Names},
    },
    origin::{CellReader, Origin, OriginError, Origins, Read, ReadOrder, names_in_file},
};

/// What was found: a line a read that went well, and the errors.
#[derive(Default)]
pub(super) struct Asked {
    pub good: Vec<String>,
    pub errors: Vec<String>,
}

impl Asked {
    fn note(&mut self, place: &str, found: Result<String, String>) {
        match found {
            Ok(good) => self.good.push(format!("{place}: {good}")),
            Err(error) => self.errors.push(format!("{place}: {error}")),
        }
    }
}

/// Asks every origin for the items of one name of each definition, and one of each value of its variants.
pub(super) async fn ask(config: &Config) -> Result<Asked, OriginError> {
    let origins = Origins::open(&config.origins)?;
    let mut asked = Asked::default();
    for (at, definition) in config.definitions.defined.iter().enumerate() {
        let place = format!("listings[{at}] ({})", definition.pattern.as_str());
        let Some(origin) = origins.get(&definition.origin) else {
            continue;
        };
        match defined(definition, &*origin).await {
            Ok(Some(defined)) => ask_for(&place, &defined, &*origin, &mut asked).await,
            Ok(None) => asked.note(
                &place,
                Ok("`names` has none, so there is nothing to ask for".to_owned()),
            ),
            Err(error) => asked.note(&place, Err(format!("names: {}", Chain(&error)))),
        }
    }
    Ok(asked)
}

/// The first name that there is; without an enumeration one that need not exist. `None` where no names exist.
async fn defined(definition: &Arc<Definition>, origin: &dyn Origin) -> Result<Option<Defined>, OriginError> {
    let parameters = definition.pattern.parameters();
    let fields: Vec<Field> = parameters.map(|parameter| definition.field_of(parameter)).collect();
    let rows = match &definition.names {
        Some(Names::Query(query)) => origin.names(query, &fields).await?,
        Some(Names::File(path)) => names_in_file(path).await?,
        Some(Names::List(values)) => values.iter().map(|value| vec![value.to_string()]).collect(),
        // A number, for columns that know no texts.
        None => vec![vec!["1".to_owned(); fields.len()]],
    };
    // Rows that make no name are left out, as always.
    let found = rows.iter().find_map(|row| {
        let parameters = definition.pattern.matches(&definition.pattern.fill(row)?)?;
        Some(Defined {
            definition: definition.clone(),
            parameters,
        })
    });
    Ok(found)
}

async fn ask_for(place: &str, defined: &Defined, origin: &dyn Origin, asked: &mut Asked) {
    let definition = &defined.definition;
    let mut chosen: Vec<BTreeMap<&str, &str>> = vec![BTreeMap::new()];
    for variant in &definition.variants {
        let others = variant.values.iter().skip(1);
        chosen.extend(others.map(|value| BTreeMap::from([(&*variant.parameter, &**value)])));
    }
    for given in chosen {
        let choices: String = given
            .iter()
            .map(|(parameter, value)| format!("?{parameter}={value}"))
            .collect();
        let values = defined.parameters.iter().map(|(_, value)| &**value).collect::<Vec<_>>();
        let name = definition.pattern.fill(&values).unwrap_or_default();
        let found = read(defined, &given, origin).await;
        let is_good = found.is_ok();
        let found = found.map(|items| match items {
            1 => format!("{name}{choices} has 1 item"),
            items => format!("{name}{choices} has {items} items"),
        });
        asked.note(place, found.map_err(|error| format!("{name}{choices}: {error}")));
        // The other values of a definition that does not fit would say the same.
        if !is_good {
            return;
        }
    }
}

/// How many items there are, once all has been read that the definition names.
async fn read(defined: &Defined, given: &BTreeMap<&str, &str>, origin: &dyn Origin) -> Result<u64, String> {
    let definition = &defined.definition;
    let choices = definition.choices(given);
    let text = |error: OriginError| Chain(&error).to_string();
    origin.version(defined, &choices).await.map_err(text)?;
    let columns: BTreeSet<&Field> = definition
        .streams()
        .flat_map(|stream| stream.by)
        .map(|sort| &sort.column)
        .collect();
    let read = Read {
        defined: defined.clone(),
        choices,
        order: ReadOrder::Any {
            columns: columns.into_iter().cloned().collect(),
        },
    };
    let mut items = origin.read(read).await.map_err(text)?;
    let mut missing = CellReader::missing(&definition.filters);
    let mut count = 0;
    while let Some(batch) = items.try_next().await.map_err(text)? {
        count += batch.len() as u64;
        missing.look_at(batch.iter().map(|item| &*item.item.json));
    }
    match missing.first() {
        Some((filter, field)) if count > 0 => Err(format!(
            "no item has `{field}`, which the filter `{filter}` reads. Where all items may lack it, say `optional = true`"
        )),
        _ => Ok(count),
    }
}
